"""XMP packets: the ratings, keywords, captions and rights that photographers' programs write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .xmp_edits import edit_structures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .turning import Turn

PNG_KEYWORD = "XML:com.adobe.xmp"

_SIDES = {b"exif:PixelXDimension": 0, b"exif:PixelYDimension": 1}
_SIDES |= {b"tiff:ImageWidth": 0, b"tiff:ImageLength": 1}
_NUMBER = rb"""(\b%b(?:\s*=\s*["']|>)\s*)(\d+)"""


def read_xmp(info: Mapping[Any, Any]) -> bytes:
    """Return the XMP packet from the `info` of a Pillow image; empty if there is none."""
    packet = info.get("xmp") or info.get(PNG_KEYWORD) or b""
    if isinstance(packet, str):
        packet = packet.encode()
    return packet if isinstance(packet, bytes) else b""


def find_xmp_orientation(packet: bytes) -> int:
    """Return the orientation (1 … 8) that the packet states; 0 if none."""
    found = re.search(_NUMBER % b"tiff:Orientation", packet)
    number = int(found[2][:3]) if found else 0
    return number if number in range(1, 9) else 0


def update_xmp(packet: bytes, turn: Turn) -> bytes:
    """Return the packet for an output file with upright pixels.

    Orientation and sides are stated anew. Regions and panoramas are turned and resized. Entries for
    films, gain maps and thumbnails are removed, because the output has none.
    """
    if not packet:
        return packet
    numbers = {b"tiff:Orientation": 1, **{name: turn.after[side] for name, side in _SIDES.items()}}
    for name, number in numbers.items():
        packet = re.sub(_NUMBER % name, rb"\g<1>%d" % number, packet)
    return edit_structures(packet, turn)
