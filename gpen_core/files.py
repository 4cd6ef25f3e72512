"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
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
    if target.exists() and not overwrite:
        raise FileExistsError(target)
    scratch = target.with_name(f".{secrets.token_hex(8)}.tmp")  # same folder: a rename is atomic
    try:
        yield scratch
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
