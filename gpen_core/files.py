"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give the path of a scratch file that becomes `target` when the block ends without error.

    Raises:
        FileExistsError: `target` exists and `overwrite` is false.
    """
    if exists(target) and not overwrite:
        raise FileExistsError(target)
    scratch = target.with_name(f".{secrets.token_hex(8)}.tmp")  # same folder: a rename is atomic
    try:
        yield scratch
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def exists(path: str | Path) -> bool:
    """Whether there is such a file or folder, as far as one may look.

    `Path.exists` raises before Python 3.14 where a folder may not be entered or a name is too long.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """As `exists`, of files only."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """As `exists`, of folders only."""
    return os.path.isdir(path)  # noqa: PTH112


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
