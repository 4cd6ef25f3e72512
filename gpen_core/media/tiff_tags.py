"""Read and write TIFF directories. EXIF is a TIFF structure too.

Entries are copied as bytes, for two reasons. Pillow reads text as Latin-1 and writes "?" for every
character outside of ASCII. And packing EXIF anew would break the offsets in camera makers' notes.
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
"""The entries of a TIFF's main directory that describe the picture, not the layout of the file."""


class Entry(NamedTuple):
    """The value of one directory entry.

    Attributes:
        kind: the TIFF type of the numbers, such as SHORT.
        length: how many numbers there are.
        value: their bytes, in the byte order of the file.
    """

    kind: int
    length: int
    value: bytes


def find_byte_order(data: bytes | bytearray) -> str:
    """Return `struct`'s sign, "<" or ">", for the byte order that a TIFF header names."""
    return ">" if data[:2] == b"MM" else "<"


def pack_entry(order: str, kind: int, *values: int) -> Entry:
    """Make an entry of SHORT, LONG, RATIONAL (numerator, denominator, …) or UNDEFINED numbers."""
    count = len(values) // 2 if kind == RATIONAL else len(values)
    return Entry(kind, count, struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values))


def find_main_directory(data: bytes | bytearray) -> int:
    """Return the offset of the first directory.

    Raises:
        struct.error: the data is too short to hold an offset.
    """
    return struct.unpack_from(find_byte_order(data) + "L", data, 4)[0]


def read_directory(data: bytes, start: int) -> dict[int, Entry]:
    """Return the entries of the directory at `start`, except those with values outside the data."""
    entries = {}
    for tag, kind, count, at in locate_entries(data, start):
        length = _BYTES.get(kind, 0) * count
        if length > 4:
            (at,) = struct.unpack_from(find_byte_order(data) + "L", data, at)
        if 0 < length <= len(data) - at:
            entries[tag] = Entry(kind, count, bytes(data[at : at + length]))
    return entries


def locate_entries(data: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (tag, type, count, offset of the four bytes of value) for the directory at `start`."""
    order = find_byte_order(data)
    try:
        (count,) = struct.unpack_from(order + "H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            yield *struct.unpack_from(order + "HHL4x", data, at), at + 8
    except struct.error:
        return  # a damaged directory ends where the data ends


def unlink_next_directory(data: bytearray) -> None:
    """Make the first directory the last one, in place. In EXIF the next one holds a thumbnail."""
    order = find_byte_order(data)
    try:
        start = find_main_directory(data)
        (count,) = struct.unpack_from(order + "H", data, start)
        struct.pack_into(order + "L", data, start + 2 + 12 * count, 0)
    except struct.error:
        return  # a damaged structure has no next directory


def pack_directory(order: str, entries: Mapping[int, Entry], at: int) -> bytes:
    """Return the bytes of a directory at offset `at` of a file, followed by its values."""
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
    """Copy the descriptive entries of a TIFF file into an EXIF block; empty if there are none."""
    order = find_byte_order(tiff)
    main = read_directory(tiff, find_main_directory(tiff))
    main = {tag: entry for tag, entry in main.items() if tag in DESCRIPTIVE}
    if not main:
        return b""
    exif = b"II*\0" if order == "<" else b"MM\0*"
    body = b""
    for group in (EXIF_IFD, GPS_IFD):
        if group in main and len(main[group].value) == 4:
            (start,) = struct.unpack(order + "L", main[group].value)
            main[group] = pack_entry(order, LONG, 8 + len(body))
            body += pack_directory(order, read_directory(tiff, start), 8 + len(body))
    start = 8 + len(body)
    return exif + struct.pack(order + "L", start) + body + pack_directory(order, main, start)
