"""EXIF blocks: the orientation and resolution that they state, and how they are stated anew."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from . import tiff_tags
from .tiff_tags import (
    EXIF_IFD,
    LONG,
    ORIENTATION,
    PIXEL_HEIGHT,
    PIXEL_WIDTH,
    RESOLUTION_UNIT,
    SHORT,
    TIFF_HEADERS,
    X_RESOLUTION,
    Y_RESOLUTION,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .tiff_tags import Entry, Place
    from .turning import Turn

PREFIX = b"Exif\0\0"
"""JPEG and some other formats put this before the block."""

MAX_DPI = 65_536
"""JPEG cannot hold this many dots per inch; a file that names as many is damaged."""

_WIDTHS, _HEIGHTS = (256, PIXEL_WIDTH), (257, PIXEL_HEIGHT)
_SUBJECT_AREA, _SUBJECT_LOCATION = 37396, 41492
_INCHES = {1: 0.0, 2: 1.0, 3: 2.54}  # by unit: none, inch, centimetre


def clean_exif(block: bytes) -> bytes:
    """Return an EXIF block without its prefix; empty if it is none.

    A block whose directory has absurdly many entries is none either: we could not state all anew.
    """
    block = block.removeprefix(PREFIX)
    if block[:4] not in TIFF_HEADERS or len(block) < 8:
        return b""
    main = tiff_tags.find_main_directory(block)
    return block if tiff_tags.count_entries(block, main) <= tiff_tags.MOST_ENTRIES else b""


def find_orientation(exif: bytes) -> int:
    """Return the orientation (1 … 8) that the main directory states, as any type; 0 if none.

    `update_exif` rewrites every entry that is read here.
    """
    found = 0
    for place, is_main in _iterate_places(exif):
        if is_main and place.tag == ORIENTATION:
            (number,) = _read_places(exif, place)[:1] or (0,)
            found = number if number in range(1, 9) else found
    return found


def find_dpi(entries: Mapping[int, Entry], order: str) -> tuple[float, float] | None:
    """Return the (x, y) dots per inch that a directory's entries state."""
    unit = (*tiff_tags.read_numbers(entries.get(RESOLUTION_UNIT), order), 2)[0]
    dots = [_read_ratio(entries.get(tag), order) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    return check_dpi((dots[0] * _INCHES.get(unit, 0), dots[1] * _INCHES.get(unit, 0)))


def find_exif_dpi(exif: bytes) -> tuple[float, float] | None:
    """Return the (x, y) dots per inch that an EXIF block states."""
    if not exif:
        return None
    start = tiff_tags.find_main_directory(exif)
    return find_dpi(tiff_tags.read_directory(exif, start), tiff_tags.find_byte_order(exif))


def check_dpi(dpi: object) -> tuple[float, float] | None:
    """Return the (x, y) dots per inch, or None if they are impossible."""
    try:
        x, y = (float(dots) for dots in dpi)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(d) and 0 < d < MAX_DPI for d in (x, y)) else None


def update_exif(exif: bytes, turn: Turn) -> bytes:
    """Return the EXIF for an output file with upright pixels.

    The orientation, the sides and the subject's place are changed in place. The thumbnail shows the
    old picture, so nothing refers to it any more. All other bytes stay the same.
    """
    changes = {ORIENTATION: (SHORT, 1)}
    changes |= dict.fromkeys(_WIDTHS, (LONG, turn.after[0]))
    changes |= dict.fromkeys(_HEIGHTS, (LONG, turn.after[1]))
    order, changed = tiff_tags.find_byte_order(exif), bytearray(exif)
    for place, _ in _iterate_places(exif):
        if place.tag in changes:
            # EXIF requires a SHORT for the orientation and allows either type for the sides.
            kind, number = changes[place.tag]
            code = "H2x" if kind == SHORT else "L"
            struct.pack_into(f"{order}HL{code}", changed, place.at + 2, kind, 1, number)
        elif place.tag in (_SUBJECT_AREA, _SUBJECT_LOCATION) and place.kind in (SHORT, LONG):
            moved = move_subject(_read_places(exif, place), turn)  # none if it lies outside
            code, most = ("H", 2**16 - 1) if place.kind == SHORT else ("L", 2**32 - 1)
            numbers = [min(max(0, number), most) for number in moved]
            if numbers:
                struct.pack_into(f"{order}{len(numbers)}{code}", changed, place.value_at, *numbers)
    if changed:
        tiff_tags.unlink_next_directory(changed)
    return bytes(changed)


def move_subject(numbers: tuple[int, ...], turn: Turn) -> list[int]:
    """Move a subject's centre (x, y), circle (x, y, diameter) or box (x, y, width, height)."""
    if len(numbers) not in (2, 3, 4) or turn.before is None:
        return list(numbers)
    moved = [*turn.move_point(*numbers[:2])]
    if len(numbers) == 3:
        moved.append(numbers[2] * min(turn.scale))
    elif len(numbers) == 4:
        moved += turn.resize_extent(*numbers[2:])
    return [round(number) for number in moved]


def _iterate_places(exif: bytes) -> Iterator[tuple[Place, bool]]:
    """Yield the entries of the main directory and the Exif directory; True for the main one's.

    Every directory is read once, however many entries name it.
    """
    if len(exif) < 8:
        return
    main = tiff_tags.find_main_directory(exif)
    inner = {}
    for place in tiff_tags.locate_entries(exif, main):
        yield place, True
        if place.tag == EXIF_IFD:
            inner |= dict.fromkeys(_read_places(exif, place)[:1])
    for start in [start for start in inner if start != main][:1]:
        for place in tiff_tags.locate_entries(exif, start):
            yield place, False


def _read_places(exif: bytes, place: Place) -> tuple[int, ...]:
    """Return up to four whole numbers of an entry."""
    if not 1 <= place.length <= 4 or place.value_at + place.size > len(exif):
        return ()
    value = exif[place.value_at : place.value_at + place.size]
    entry = tiff_tags.Entry(place.kind, place.length, value)
    return tiff_tags.read_numbers(entry, tiff_tags.find_byte_order(exif))


def _read_ratio(entry: Entry | None, order: str) -> float:
    if entry is None or entry.kind != tiff_tags.RATIONAL or entry.length < 1:
        return 0.0
    over, under = struct.unpack_from(f"{order}LL", entry.value)
    return over / under if under else 0.0
