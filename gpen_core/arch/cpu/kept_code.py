"""Keeps the machine code of the CPU kernels on disk, so that a process need not compile them.

The files lie in `kernels` in the user's cache. The name of a file is its key: a hash of everything
that the code depends on. Its first line repeats the key and gives length and hash of the code, so
that a damaged file, or one under another's name, is compiled anew instead of run. Nor is a file
read that others could have written (`cache.read_private`). `GPEN_KERNEL_CACHE=0` turns this off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import llvmlite
from llvmlite import binding

from ...cache import read_private, write_private
from ...settings import is_on

FOLDER = "kernels"
KEPT_FILES = 8
"""Files that stay: float32 and bfloat16 for the last versions and CPUs of this user."""

HERE = Path(__file__).parent
SOURCES = (HERE.with_name("ops.py"), *sorted(HERE.glob("*.py")))
"""Files that decide what the kernels compute."""


def is_wanted() -> bool:
    """Tell whether the user lets machine code be kept: not with `GPEN_KERNEL_CACHE=0`."""
    return is_on("GPEN_KERNEL_CACHE")


def find_key(variant: str, names: Sequence[str]) -> str | None:
    """Return the key of kernels: a hash of CPU, compiler and sources.

    It is None where the sources cannot be read, such as in an archive of modules.

    Args:
        variant: the type of their pixels.
        names: their names.
    """
    try:
        sources = [hashlib.sha256(path.read_bytes()).hexdigest() for path in SOURCES]
    except OSError:
        return None
    facts = (
        llvmlite.__version__,
        binding.llvm_version_info,
        binding.get_default_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        variant,
        tuple(names),
        sources,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def read(key: str) -> bytes | None:
    """Return the code that `write` kept; None if there is none that is whole and ours."""
    kept = read_private(FOLDER, f"{key}.o")
    if kept is None:
        return None
    first_line, _, code = kept.partition(b"\n")
    return code if first_line == _describe(key, code) else None


def write(key: str, code: bytes) -> None:
    """Keep code, if the cache can be written: losing it costs time only."""
    write_private(FOLDER, f"{key}.o", _describe(key, code) + b"\n" + code, most=KEPT_FILES)


def _describe(key: str, code: bytes) -> bytes:
    return f"{key} {len(code)} {hashlib.sha256(code).hexdigest()}".encode()
