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
_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}  # IFD, and the types of BigTIFF: LONG8, SLONG8, IFD8
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q"}
_WHOLE_NUMBERS |= {18: "Q"}
_CODES = {SHORT: "H", LONG: "L", RATIONAL: "L", UNDEFINED: "B"}

TIFF_HEADERS = (b"II*\0", b"MM\0*")
"""The first four bytes of a TIFF or of an EXIF block."""

BIG_TIFF_HEADERS = (b"II+\0", b"MM\0+")
"""The first four bytes of a BigTIFF, whose offsets have 64 bits."""

MOST_ENTRIES = 4096
"""We read no more entries of a directory; sound ones have fewer than a hundred."""

DESCRIPTIVE = frozenset(
    {
        *(
            269,
            270,
            271,
            272,
            285,
            297,
            305,
            306,
            315,
            316,
            33432,
        ),  # titles, camera, author, rights
        *(X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT),
        *(18246, 18249, 40091, 40092, 40093, 40094, 40095),  # rating, Windows' title, comment …
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


class Place(NamedTuple):
    """Where an entry lies in the data.

    Attributes:
        tag: which property it states.
        kind: the TIFF type of its numbers.
        length: how many numbers there are.
        at: offset of the entry itself.
        value_at: offset of its value, inside the entry or elsewhere.
    """

    tag: int
    kind: int
    length: int
    at: int
    value_at: int

    @property
    def size(self) -> int:
        """Bytes of the value; 0 for an unknown type."""
        return _BYTES.get(self.kind, 0) * self.length


def find_byte_order(data: bytes | bytearray) -> str:
    """Return `struct`'s sign, "<" or ">", for the byte order that a TIFF header names."""
    return ">" if data[:2] == b"MM" else "<"


def is_big(data: bytes | bytearray) -> bool:
    """Tell whether the data are a BigTIFF."""
    return bytes(data[:4]) in BIG_TIFF_HEADERS


def pack_entry(order: str, kind: int, *values: int) -> Entry:
    """Make an entry of SHORT, LONG, RATIONAL (numerator, denominator, …) or UNDEFINED numbers."""
    count = len(values) // 2 if kind == RATIONAL else len(values)
    return Entry(kind, count, struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values))


def read_numbers(entry: Entry | None, order: str) -> tuple[int, ...]:
    """Return the whole numbers of an entry of any whole-number type; none for other types."""
    code = _WHOLE_NUMBERS.get(entry.kind) if entry else None
    if entry is None or code is None:
        return ()
    return struct.unpack(f"{order}{entry.length}{code}", entry.value)


def find_main_directory(data: bytes | bytearray) -> int:
    """Return the offset of the first directory.

    Raises:
        struct.error: the data is too short to hold an offset.
    """
    code, at = ("Q", 8) if is_big(data) else ("L", 4)
    return struct.unpack_from(find_byte_order(data) + code, data, at)[0]


def count_entries(data: bytes, start: int) -> int:
    """Return how many entries the directory at `start` has; 0 if it lies outside the data."""
    code = find_byte_order(data) + ("Q" if is_big(data) else "H")
    try:
        return struct.unpack_from(code, data, start)[0]
    except (struct.error, OverflowError):
        return 0


def read_directory(data: bytes, start: int, only: frozenset[int] | None = None) -> dict[int, Entry]:
    """Return the entries of the directory at `start`, except those with values outside the data.

    All values together take no more than the data: entries that name the same bytes again and again
    are left out.

    Args:
        data: the file or the EXIF block.
        start: offset of the directory.
        only: the tags of the entries to read; None reads all.
    """
    entries, left = {}, len(data)
    for place in locate_entries(data, start):
        if only is not None and place.tag not in only:
            continue
        if 0 < place.size <= min(left, len(data) - place.value_at):
            value = bytes(data[place.value_at : place.value_at + place.size])
            entries[place.tag] = Entry(place.kind, place.length, value)
            left -= place.size
    return entries


def locate_entries(data: bytes | bytearray, start: int) -> Iterator[Place]:
    """Yield the places of the entries of the directory at `start`, as far as the data reach."""
    order = find_byte_order(data)
    head, layout, offset, inline = ("Q", "HHQ", "Q", 8) if is_big(data) else ("H", "HHL", "L", 4)
    length = struct.calcsize(order + layout) + inline
    try:
        (entries,) = struct.unpack_from(order + head, data, start)
        first = start + struct.calcsize(order + head)
        end = min(first + length * min(entries, MOST_ENTRIES), len(data))
        for at in range(first, end, length):
            tag, kind, count = struct.unpack_from(order + layout, data, at)
            place = Place(tag, kind, count, at, at + length - inline)
            if place.size > inline:
                (value_at,) = struct.unpack_from(order + offset, data, place.value_at)
                place = place._replace(value_at=value_at)
            yield place
    except (struct.error, OverflowError):
        return  # a damaged directory ends where the data ends


def find_next_directory(data: bytes | bytearray, start: int) -> int:
    """Return the offset of the directory after the one at `start`; 0 if there is none."""
    order = find_byte_order(data)
    head, length, offset = ("Q", 20, "Q") if is_big(data) else ("H", 12, "L")
    try:
        (count,) = struct.unpack_from(order + head, data, start)
        at = start + struct.calcsize(order + head) + length * count
        return struct.unpack_from(order + offset, data, at)[0]
    except (struct.error, OverflowError):
        return 0


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
    head, tail = bytearray(struct.pack(order + "H", len(entries))), bytearray()
    for tag, (kind, count, value) in sorted(entries.items()):
        head += struct.pack(order + "HHL", tag, kind, count)
        if len(value) > 4:
            head += struct.pack(order + "L", tail_at + len(tail))
            tail += value + b"\0" * (len(value) % 2)
        else:
            head += value.ljust(4, b"\0")
    return bytes(head + b"\0" * 4 + tail)


def extract_exif(tiff: bytes, start: int) -> bytes:
    """Copy the descriptive entries of a TIFF's directory into an EXIF block; empty if none.

    Args:
        tiff: the file, TIFF or BigTIFF.
        start: offset of the directory.
    """
    order = find_byte_order(tiff)
    main = {tag: e for tag, e in read_directory(tiff, start).items() if tag in DESCRIPTIVE}
    if not main:
        return b""
    exif = b"II*\0" if order == "<" else b"MM\0*"
    body = b""
    for group in (EXIF_IFD, GPS_IFD):
        if group not in main:
            continue
        inner = read_numbers(main.pop(group), order)
        if len(inner) == 1:
            main[group] = pack_entry(order, LONG, 8 + len(body))
            body += pack_directory(order, read_directory(tiff, inner[0]), 8 + len(body))
    start = 8 + len(body)
    return exif + struct.pack(order + "L", start) + body + pack_directory(order, main, start)
