"""The archive that `comfy node publish` sends to the ComfyUI registry, and what its scanner reads.

comfy-cli packs the files that git tracks, less those that `.comfyignore` names in gitignore's
syntax. git itself can list both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FORBIDDEN = (
    # Running code from strings. `network.eval()` looks the same to a search for strings.
    r"eval\(", r"exec\(", r"__import__\(", r"import_module", r"execfile\(",
    # Starting programs
    r"subprocess", r"os\.system", r"os\.popen", r"os\.spawn", r"posix_spawn", r"os\.startfile",
    # The environment
    r"os\.environ", r"os\.getenv", r"os\.putenv",
    # The network
    r"urlopen", r"urlretrieve", r"urllib\.request", r"http\.client", r"aiohttp", r"import requests",
    r"import socket", r"\.sendall\(", r"\.bind\(", r"\.connect\(", r"\.send\(", r"XMLHttpRequest",
    r"WebSocket", r"\.recv\(",
    # Code in disguise
    r"marshal\.loads", r"b64decode", r"atob\(", r"new Function\(",
)  # fmt: skip
"""Regular expressions that stand nowhere in the archive: the scanner flags a version for any."""

ALLOWED = {
    r"import pickle": ("gpen_core/checkpoints/tensor_files.py",),
    r"ctypes": (
        "gpen_core/arch/cpu/compiler.py",
        "gpen_core/arch/cpu/launch.py",
        "gpen_core/arch/cpu/workspace.py",
        "gpen_core/devices.py",
    ),
}  # fmt: skip
"""Files that may hold what a reader of code asks about; docs/registry.md gives the reasons."""

TEXTS = {".py", ".js", ".md", ".json", ".toml", ".txt", ".css", ".html", ""}
"""Suffixes of the files that are searched."""


def list_files(*, ignored: bool = False) -> set[str]:
    """List the tracked files, or those of them that stay out of the archive."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a clone of the repository, and git")
    options = ["-c", "-i", "--exclude-from=.comfyignore"] if ignored else []
    done = subprocess.run(
        ["git", "-c", "core.quotepath=off", "ls-files", "-z", *options],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    return {name for name in done.stdout.decode().split("\0") if name and (ROOT / name).exists()}


def list_archive() -> list[str]:
    """List the files of the archive."""
    return sorted(list_files() - list_files(ignored=True))


def build_archive(folder: Path) -> Path:
    """Copy the files of the archive into `folder`; return it."""
    for name in list_archive():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def search(pattern: str, names: list[str]) -> list[str]:
    """Return "file:line: text" of every line of these files that holds a pattern."""
    found = []
    for name in names:
        if Path(name).suffix in TEXTS:
            text = (ROOT / name).read_text(encoding="utf-8")
            lines = text.splitlines() if re.search(pattern, text, re.MULTILINE) else []
            found += [
                f"{name}:{number}: {line.strip()[:80]}"
                for number, line in enumerate(lines, 1)
                if re.search(pattern, line)
            ]
    return found
