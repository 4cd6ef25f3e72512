"""Check the frame of a PyTorch file, zip or older, before PyTorch opens it.

Every size is compared with the length of the file first. PyTorch stores its entries without
compression, so a sound file holds as many bytes as it needs memory.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import CheckpointError
from ..printable import printable
from .outlines import Node, Storages, damaged, refused
from .pickles import walk_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence

END = struct.Struct("<4s4H2LH")
"""The record at the end of a zip archive (PKWARE's APPNOTE, 4.3.16)."""
END_64 = struct.Struct("<4sQ2H2L4Q")
"""The same for large archives (4.3.14)."""
LOCATOR_64 = struct.Struct("<4sLQL")
"""The record that points at `END_64` (4.3.15)."""
LOCAL = struct.Struct("<4s5H3L2H")
"""The header before the bytes of an entry (4.3.7)."""

MAX_ENTRIES = 50_000
"""Entries of an archive: one per storage."""
MAX_LIST = 1 << 23
"""Bytes of the list of contents."""
MAX_PICKLE = 1 << 25
"""Bytes of the pickle of an archive."""
LEGACY_PARTS = 3
"""Pickles before the contents of an older file: magic number, protocol and system."""


def check_zip(file: BinaryIO) -> Any:
    """Check a zip archive of `torch.save` and return the outline of its contents.

    Raises:
        CheckpointError: the archive is damaged, is not PyTorch's, or holds more than a checkpoint
            needs. The message lacks its subject, which is the file.
    """
    size = file.seek(0, os.SEEK_END)
    _check_list(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise _cut_off(size) from error
    places = _check_names(entries)
    _check_entries(file, entries, size)
    pickled = places["data.pkl"]
    if pickled.file_size > MAX_PICKLE:
        raise refused(f"its pickle has {pickled.file_size:,} bytes")
    storages = Storages()
    file.seek(_find_data(file, pickled))
    contents = walk_pickle(io.BytesIO(file.read(pickled.file_size)), storages)
    for key in storages.types:
        entry = places.get(f"data/{key}")
        if entry is None or entry.file_size != storages.size(key):
            found = f"{entry.file_size:,} bytes" if entry else "nothing"
            raise damaged(
                f"the storage `{printable(key)}` must have {storages.size(key):,} bytes, found "
                f"{found}"
            )
    storages.check_total(size)
    return contents


def check_legacy(file: BinaryIO) -> Any:
    """Check a file of `torch.save` before PyTorch 1.6; return the outline of its contents.

    Raises:
        CheckpointError: as `check_zip`.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    for _ in range(LEGACY_PARTS):
        walk_pickle(file)
    storages = Storages()
    contents = walk_pickle(file, storages)
    keys = walk_pickle(file)
    named = keys.items if isinstance(keys, Node) and keys.kind == "list" else []
    if not all(isinstance(key, str) for key in named) or sorted(named) != sorted(storages.types):
        raise damaged("its list of storages differs from those that it uses")
    for key in named:
        _, numel = storages.types[key]
        stored = file.read(8)
        if len(stored) != 8 or int.from_bytes(stored, "little") != numel:
            raise damaged(f"the storage `{printable(key)}` has another length than its pickle says")
        if file.tell() + storages.size(key) > size:
            raise damaged(f"it ends inside the storage `{printable(key)}`")
        file.seek(storages.size(key), os.SEEK_CUR)
    storages.check_total(size)
    return contents


def _cut_off(size: int) -> CheckpointError:
    return CheckpointError(
        f"is a truncated or damaged archive ({size:,} bytes, no list of contents at its end). "
        "Download the file again: it was cut off or altered."
    )


def _check_list(file: BinaryIO, size: int) -> None:
    """Check that the list of contents lies at the end of the file and is of a sensible size."""
    if size < END.size:
        raise _cut_off(size)
    end = size - END.size
    signature, *_, count, length, start, comment = END.unpack(_read(file, end, END.size))
    if signature != b"PK\x05\x06" or comment:
        raise _cut_off(size)
    if end >= LOCATOR_64.size:
        place = end - LOCATOR_64.size
        mark, _, large, _ = LOCATOR_64.unpack(_read(file, place, LOCATOR_64.size))
        if mark == b"PK\x06\x07":
            end = place - END_64.size
            if large != end:
                raise _cut_off(size)
            fields = END_64.unpack(_read(file, end, END_64.size))
            if fields[0] != b"PK\x06\x06":
                raise _cut_off(size)
            count, length, start = fields[-3:]
    if start + length != end:
        raise _cut_off(size)
    if count > MAX_ENTRIES or length > MAX_LIST:
        raise refused(f"its list of contents has {count:,} entries and {length:,} bytes")


def _check_names(entries: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by their names below the one folder of the archive."""
    names = [entry.filename for entry in entries]
    places = {name.partition("/")[2]: entry for name, entry in zip(names, entries, strict=True)}
    if "constants.pkl" in places:
        raise CheckpointError(
            "is a TorchScript program, which is code. Use the .pth or .safetensors file of its "
            "weights."
        )
    if "data.pkl" not in places:
        shown = ", ".join(printable(name) for name in names[:3]) or "nothing"
        raise CheckpointError(
            f"is a zip archive, but PyTorch did not write it (it holds {shown}). If the "
            "checkpoint is inside, unpack it first."
        )
    # PyTorch looks names up without regard to case, in the folder of the first entry.
    if len({name.partition("/")[0] for name in names}) > 1:
        raise refused("its entries lie in more than one folder")
    if len({name.lower() for name in names}) < len(names):
        raise refused("two of its entries have the same name")
    return places


def _check_entries(file: BinaryIO, entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check that every entry is stored as it is, inside the file, apart from the others."""
    free = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = printable(entry.filename)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise refused(f"its entry `{name}` is compressed or encrypted, as PyTorch writes none")
        start = _find_data(file, entry)
        if entry.header_offset < free or entry.file_size != entry.compress_size:
            raise refused(f"its entry `{name}` overlaps another, or has two sizes")
        free = start + entry.file_size
        if free > size:
            raise damaged(f"its entry `{name}` goes beyond the end of the file")


def _find_data(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Return the place of an entry's first byte."""
    fields = LOCAL.unpack(_read(file, entry.header_offset, LOCAL.size))
    if fields[0] != b"PK\x03\x04":
        raise damaged(f"its entry `{printable(entry.filename)}` is not where its list says")
    return entry.header_offset + LOCAL.size + fields[-2] + fields[-1]


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    if place < 0:
        raise damaged("it is shorter than it says")
    file.seek(place)
    data = file.read(count)
    if len(data) != count:
        raise damaged("it is shorter than it says")
    return data
