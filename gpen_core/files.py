"""Write files whole or not at all, look for files without errors, and hash them."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def write_atomically(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the path of a scratch file that replaces `target` once the block ends without error.

    If the block raises, `target` stays as it was and the scratch file is deleted.

    Raises:
        FileExistsError: `target` exists and `overwrite` is false.
    """
    if exists(target) and not overwrite:
        raise FileExistsError(target)
    # In the same folder, because only a rename within one file system is atomic.
    scratch = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield scratch
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def exists(path: str | Path) -> bool:
    """Tell whether a file or folder exists; False where we may not look.

    Before Python 3.14 `Path.exists` raises if we may not enter a folder or a name is too long.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Tell whether a file exists; False where we may not look."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Tell whether a folder exists; False where we may not look."""
    return os.path.isdir(path)  # noqa: PTH112


def name_special(path: str | Path) -> str | None:
    """Say in words which special file this is; None for a regular file or a folder.

    Opening a FIFO waits for ever, and a device may never end.

    Raises:
        OSError: there is no such file, or we may not look.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
