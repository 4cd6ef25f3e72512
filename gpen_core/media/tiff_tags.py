"""TIFF directories, which are also how EXIF is written.

Entries are moved as bytes: Pillow reads text as Latin-1 and writes "?" for all beyond ASCII, and
packing EXIF anew breaks the offsets in camera makers' notes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ORIENTATION, EXIF_IFD, GPS_IFD, PIXEL_WIDTH, PIXEL_HEIGHT = 274, 34665, 34853, 40962, 40963
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, PER_INCH = 282, 283, 296, 2
BYTE, SHORT, LONG, RATIONAL, UNDEFINED = 1, 3, 4, 5, 7
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_CODES = {SHORT: "H", LONG: "L", RATIONAL: "L", UNDEFINED: "B"}

DESCRIPTIVE = frozenset(
    {
        *(270, 271, 272, 305, 306, 315, 316, 33432),  # description, camera, author, copyright
        *(X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT),
        *(18246, 40091, 40092, 40093, 40094, 40095),  # rating, Windows' title, comment, author …
        *(EXIF_IFD, GPS_IFD),
    }
)
"""Of a TIFF's main directory, the entries that describe the picture and not the file."""


class Entry(NamedTuple):
    """One value of a directory: its type, how many, and its bytes in the file's order."""

    kind: int
    length: int
    value: bytes


def byte_order(data: bytes | bytearray) -> str:
    """`struct`'s sign for the order that a TIFF header names."""
    return ">" if data[:2] == b"MM" else "<"


def pack(order: str, kind: int, *values: int) -> Entry:
    """An entry of SHORT, LONG, RATIONAL (numerator, denominator, …) or UNDEFINED numbers."""
    count = len(values) // 2 if kind == RATIONAL else len(values)
    return Entry(kind, count, struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values))


def main_directory(data: bytes | bytearray) -> int:
    """The offset of the first directory.

    Raises:
        struct.error: the data is too short to name one.
    """
    return struct.unpack_from(byte_order(data) + "L", data, 4)[0]


def read_directory(data: bytes, start: int) -> dict[int, Entry]:
    """The entries of the directory at `start`; those that lead out of the data are left out."""
    entries = {}
    for tag, kind, count, at in locate(data, start):
        length = _BYTES.get(kind, 0) * count
        if length > 4:
            (at,) = struct.unpack_from(byte_order(data) + "L", data, at)
        if 0 < length <= len(data) - at:
            entries[tag] = Entry(kind, count, bytes(data[at : at + length]))
    return entries


def locate(data: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, type, count, offset of the four bytes of value) of the entries at `start`."""
    order = byte_order(data)
    try:
        (count,) = struct.unpack_from(order + "H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            yield *struct.unpack_from(order + "HHL4x", data, at), at + 8
    except struct.error:
        return  # a damaged structure ends where it leads out of the data


def unlink_next_directory(data: bytearray) -> None:
    """Make the first directory the last, in place; after it EXIF has a thumbnail's."""
    order = byte_order(data)
    try:
        start = main_directory(data)
        (count,) = struct.unpack_from(order + "H", data, start)
        struct.pack_into(order + "L", data, start + 2 + 12 * count, 0)
    except struct.error:
        return  # a damaged structure has none


def pack_directory(order: str, entries: Mapping[int, Entry], at: int) -> bytes:
    """The directory of `entries`, to be placed at offset `at`, with its values after it."""
    tail_at = at + 2 + 12 * len(entries) + 4
    head, tail = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, count, value) in sorted(entries.items()):
        head += struct.pack(order + "HHL", tag, kind, count)
        if len(value) > 4:
            head += struct.pack(order + "L", tail_at + len(tail))
            tail += value + b"\0" * (len(value) % 2)
        else:
            head += value.ljust(4, b"\0")
    return head + b"\0" * 4 + tail


def extract_exif(tiff: bytes) -> bytes:
    """The descriptive entries of a TIFF file as an EXIF structure; empty when there are none."""
    order = byte_order(tiff)
    main = read_directory(tiff, main_directory(tiff))
    main = {tag: entry for tag, entry in main.items() if tag in DESCRIPTIVE}
    if not main:
        return b""
    exif = b"II*\0" if order == "<" else b"MM\0*"
    body = b""
    for group in (EXIF_IFD, GPS_IFD):
        if group in main and len(main[group].value) == 4:
            (start,) = struct.unpack(order + "L", main[group].value)
            main[group] = pack(order, LONG, 8 + len(body))
            body += pack_directory(order, read_directory(tiff, start), 8 + len(body))
    start = 8 + len(body)
    return exif + struct.pack(order + "L", start) + body + pack_directory(order, main, start)
