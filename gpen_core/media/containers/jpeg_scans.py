"""Find damage inside the coded pixels of a JPEG, for which decoders make up pixels in silence.

Only a decoder sees every fault, and ours keeps its warnings to itself. Three kinds show without
decoding: zero bytes in place of a part that a disk or a memory card lost, markers that cannot stand
there, and restart markers out of order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST_HOLE = 64
"""So many zero bytes are a hole in the file, not picture: they would code two blocks or more."""

_FOREIGN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_HUFFMAN_TABLES, _START_OF_SCAN, _RESTART_INTERVAL = b"\xff\xc4", b"\xff\xda", b"\xff\xdd"
_FRAMES = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")  # those with Huffman coding


@dataclass
class _Tables:
    """What the segments before a scan say.

    Attributes:
        zeros: the symbol that zero bits stand for, by class and number of the Huffman table.
        interval: units between two restart markers; 0 if there are none.
        size: (width, height) of the picture.
        sampling: (horizontal, vertical) sampling factors by component.
    """

    zeros: dict[int, int] = field(default_factory=dict)
    interval: int = 0
    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)


class _Scan(NamedTuple):
    """A scan's header: (component, its tables) pairs, and the last coefficient that it codes."""

    components: list[tuple[int, int]]
    last: int


def describe_damage(parts: Sequence[bytes]) -> str:
    """Say how the coded pixels are damaged, as the end of a sentence; empty if nothing is seen.

    Args:
        parts: the segments of a JPEG in their order, and after each start of a scan its pixels.
    """
    tables, offsets = _Tables(), list(accumulate(map(len, parts)))
    for header, pixels, offset in zip(parts, parts[1:], offsets, strict=False):
        scan = _read_scan(header)
        if scan is None:
            _read_segment(tables, header)
        elif fault := _find_fault(tables, scan, pixels):
            what, at = fault
            place = round(100 * (offset + at) / offsets[-1])
            return f"{what} at {place} % of its data: the picture may be wrong from there on"
    return ""


def _find_fault(tables: _Tables, scan: _Scan, pixels: bytes) -> tuple[str, int] | None:
    """Return what is wrong with the pixels of a scan, and where; None if nothing is seen."""
    at = pixels.find(bytes(SHORTEST_HOLE))
    if at >= 0 and _codes_detail(tables, scan):
        rest = pixels[at:]
        return f"has a hole of {len(rest) - len(rest.lstrip(bytes(1)))} zero bytes", at
    if found := _FOREIGN.search(pixels):
        return "has wrong bytes in its pixels", found.start()
    at = _find_lost_restart(tables, scan, pixels)
    return None if at is None else ("lacks pixels", at)


def _read_segment(tables: _Tables, segment: bytes) -> None:
    kind, content = segment[:2], segment[4:]
    if kind == _HUFFMAN_TABLES:
        while len(content) > 17:
            tables.zeros[content[0]] = content[17]  # the first code is all zeros
            content = content[17 + sum(content[1:17]) :]
    elif kind == _RESTART_INTERVAL and len(content) >= 2:
        tables.interval = int.from_bytes(content[:2], "big")
    elif kind in _FRAMES and len(content) >= 6:
        tables.size = int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big")
        for number, factors in zip(content[6::3], content[7::3], strict=False):
            tables.sampling[number] = max(1, factors >> 4), max(1, factors & 15)


def _read_scan(segment: bytes) -> _Scan | None:
    content = segment[4:]
    if not segment.startswith(_START_OF_SCAN) or len(content) < 4 + 2 * content[0]:
        return None
    end = 1 + 2 * content[0]
    components = list(zip(content[1:end:2], content[2:end:2], strict=True))
    return _Scan(components, content[end + 1])


def _codes_detail(tables: _Tables, scan: _Scan) -> bool:
    """Tell whether zero bits stand for detail in a scan, so that a long run is no picture.

    Elsewhere zero bits may say that blocks are flat, and a black frame is no damage.
    """
    if scan.last == 0:
        return False  # a scan of the blocks' means alone
    return any(tables.zeros.get(0x10 | (number & 15), 0) & 15 for _, number in scan.components)


def _find_lost_restart(tables: _Tables, scan: _Scan, pixels: bytes) -> int | None:
    """Return where a restart marker is not the next in order, or the end if some lack there."""
    if not tables.interval or not tables.sampling:
        return None
    count = 0
    for marker in _RESTART.finditer(pixels):
        if marker[1][0] & 7 != count % 8:
            return marker.start()
        count += 1
    expected = -(-_count_units(tables, scan) // tables.interval) - 1
    return len(pixels) if count < expected else None


def _count_units(tables: _Tables, scan: _Scan) -> int:
    """Count the groups of blocks, or the blocks of a scan's only component."""
    widest, tallest = (max(factors) for factors in zip(*tables.sampling.values(), strict=True))
    (width, height), across, down = tables.size, widest, tallest
    if len(scan.components) == 1:
        own = tables.sampling.get(scan.components[0][0], (widest, tallest))
        width, height = -(-width * own[0] // widest), -(-height * own[1] // tallest)
        across, down = 1, 1
    return -(-width // (8 * across)) * -(-height // (8 * down))
