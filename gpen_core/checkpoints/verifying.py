"""Compare a downloaded file with its published size and hash, or with the hash stored beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..files import is_file, name_special, sha256, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def verify_existing(
    target: Path, size: int | None, expected: str | None, check: Callable[[Path], None] | None
) -> None:
    """Compare a file that stands under its final name with what is published or stored.

    Raises:
        CheckpointError: it differs, or it is no regular file.
    """
    if not is_file(target):
        raise CheckpointError(
            f"`{target}` is {name_special(target) or 'a folder'}, not a file. Move it away."
        )
    verify(target, target, size, expected, check, f"Delete `{target}` and download it again.")


def verify(
    path: Path,
    target: Path,
    size: int | None,
    expected: str | None,
    check: Callable[[Path], None] | None,
    remedy: str,
) -> None:
    """Compare `path`, which is `target` or becomes it, with what is published or stored.

    Raises:
        CheckpointError: it differs, or `check` raised the error; `remedy` is added to the message.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise CheckpointError(
            f"`{target.name}` is not the published file: it must have {size:,} bytes, found "
            f"{found_size:,}. {remedy}"
        )
    _compare_hash(path, target, expected, remedy)
    if check is not None:
        try:
            check(path)
        except CheckpointError as error:
            raise CheckpointError(f"{error} {remedy}") from error
    if expected is None:
        record = target.with_name(target.name + ".sha256")
        if not record.exists():
            with write_atomically(record, overwrite=False) as scratch:
                scratch.write_text(f"{sha256(path)}  {target.name}\n", "utf-8")


def _compare_hash(path: Path, target: Path, expected: str | None, remedy: str) -> None:
    """Compare `path` with the published hash, or with the one stored beside `target`."""
    record = target.with_name(target.name + ".sha256")
    origin = "published"
    if expected is None:
        if not record.exists():
            return
        expected, origin = (
            _read_record(record),
            f"recorded in `{record.name}` at the first download",
        )
    found = sha256(path)
    if found != expected:
        raise CheckpointError(
            f"`{target.name}` is not the file that was {origin}: its SHA-256 must be {expected}, "
            f"found {found}. {remedy}"
        )


def _read_record(record: Path) -> str:
    """Return the hash that a `.sha256` file holds."""
    words = [""]
    if is_file(record):
        with record.open("rb") as file:
            words = file.read(1_000).decode("latin-1").split() or words
    if not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise CheckpointError(
            f"`{record}` holds no SHA-256. Delete it, and the hash of the file is recorded again."
        )
    return words[0]
