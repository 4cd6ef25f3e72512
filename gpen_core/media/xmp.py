"""XMP packets: the ratings, keywords, captions and rights that photographers' programs write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from PIL import PngImagePlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

PNG_KEYWORD = "XML:com.adobe.xmp"
MAX_JPEG_BYTES = 65_502
"""The longest packet that fits into one segment of a JPEG. We write no longer ones."""

_SIDES = {b"exif:PixelXDimension": 0, b"exif:PixelYDimension": 1}
_SIDES |= {b"tiff:ImageWidth": 0, b"tiff:ImageLength": 1}
_NUMBER = rb"""(\b%b(?:\s*=\s*["']|>))\d+"""


def read_xmp(info: Mapping[Any, Any]) -> bytes:
    """Return the XMP packet from the `info` of a Pillow image; empty if there is none."""
    packet = info.get("xmp") or info.get(PNG_KEYWORD) or b""
    if isinstance(packet, str):
        packet = packet.encode()
    return packet if isinstance(packet, bytes) else b""


def update_xmp(packet: bytes, size: tuple[int, int]) -> bytes:
    """Return the packet for an output file of `size` (width, height) with upright pixels."""
    numbers = {b"tiff:Orientation": 1, **{name: size[side] for name, side in _SIDES.items()}}
    for name, number in numbers.items():
        packet = re.sub(_NUMBER % name, rb"\g<1>%d" % number, packet)
    return packet


def make_pillow_xmp(format_name: str, packet: bytes) -> dict[str, Any]:
    """Return the keyword arguments with which Pillow's `Image.save` writes the packet.

    Args:
        format_name: Pillow's name for the format.
        packet: may be empty.
    """
    if not packet or (format_name == "JPEG" and len(packet) > MAX_JPEG_BYTES):
        return {}
    if format_name != "PNG":
        return {"xmp": packet}
    text = PngImagePlugin.PngInfo()
    text.add_itxt(PNG_KEYWORD, packet.decode("utf-8", "replace"))
    return {"pnginfo": text}
