"""XMP: ratings, keywords, captions and rights, as photographers' programs keep them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from PIL import PngImagePlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

PNG_KEYWORD = "XML:com.adobe.xmp"
MOST_IN_JPEG = 65_502
"""Bytes of a packet; more of it would lie in segments of their own."""

_SIDES = {b"exif:PixelXDimension": 0, b"exif:PixelYDimension": 1}
_SIDES |= {b"tiff:ImageWidth": 0, b"tiff:ImageLength": 1}
_NUMBER = rb"""(\b%b(?:\s*=\s*["']|>))\d+"""


def read_xmp(info: Mapping[Any, Any]) -> bytes:
    """The packet among what Pillow says of an image; empty when there is none."""
    packet = info.get("xmp") or info.get(PNG_KEYWORD) or b""
    if isinstance(packet, str):
        packet = packet.encode()
    return packet if isinstance(packet, bytes) else b""


def xmp_for(packet: bytes, size: tuple[int, int]) -> bytes:
    """The packet for a file of `size` (width, height), whose pixels are upright."""
    numbers = {b"tiff:Orientation": 1, **{name: size[side] for name, side in _SIDES.items()}}
    for name, number in numbers.items():
        packet = re.sub(_NUMBER % name, rb"\g<1>%d" % number, packet)
    return packet


def save_xmp(kind: str, packet: bytes) -> dict[str, Any]:
    """What to hand to Pillow's `Image.save` for a file of that kind (Pillow's name)."""
    if not packet or (kind == "JPEG" and len(packet) > MOST_IN_JPEG):
        return {}
    if kind != "PNG":
        return {"xmp": packet}
    text = PngImagePlugin.PngInfo()
    text.add_itxt(PNG_KEYWORD, packet.decode("utf-8", "replace"))
    return {"pnginfo": text}
