"""Take apart what Pillow reads whole: GIF, Photoshop, Targa and portable pixel maps."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import exif as exif_block
from .. import pillow_decoding
from ..contents import MOST_CUT, Contents, Decoded, describe_missing_rows
from ..metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

_PIXEL_MAP = re.compile(rb"P([456])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)")
_HIGHEST_LEVEL = re.compile(rb"(?:\s|#[^\n]*\n)+(\d+)\s")
_LONGEST_HEADER = 4096
_GREATEST_COMPRESSIONS = {"GIF": 4096, "PSD": 128, "TGA": 128, "PPM": MOST_CUT}
"""Samples in a byte: of LZW with 12-bit codes, of run-length coding, and of none."""


@dataclass(frozen=True)
class PixelMapContents(Contents):
    """A portable pixel map, whose pixels may be cut off.

    Attributes:
        whole_length: bytes of the file if nothing were missing.
    """

    whole_length: int = 0

    def decode(self, path: Path) -> Decoded:
        whole = replace(self, data=self.data.ljust(self.whole_length, b"\0"))
        return Contents.decode(whole, path)


def parse(kind: str, data: bytes, path: Path) -> Contents:
    """Take a file of these formats apart.

    Args:
        kind: Pillow's name for the format.
        data: the file.
        path: its name, for messages.

    Raises:
        ImageError: it holds several pictures.
        Exception: Pillow raises almost any kind on damaged data.
    """
    with pillow_decoding.open_image(kind, data) as image:
        pillow_decoding.refuse_frames(image, path)
        size, info = image.size, image.info
    icc = info.get("icc_profile")
    contents = Contents(
        kind,
        data,
        size,
        metadata=Metadata(
            icc=icc if isinstance(icc, bytes) else b"",
            dpi=exif_block.check_dpi(info.get("dpi")),
            stored_size=size,
        ),
        needed_bytes=size[0] * size[1],
        most_bytes=len(data) * _GREATEST_COMPRESSIONS[kind],
    )
    return _measure_pixel_map(contents) if kind == "PPM" else contents


def _measure_pixel_map(contents: Contents) -> Contents:
    found = _PIXEL_MAP.match(contents.data, 0, _LONGEST_HEADER)
    if not found:
        return contents  # text, or a kind that Pillow checks by itself
    width, height, start, highest = int(found[2]), int(found[3]), found.end(), 1
    if found[1] != b"4":
        level = _HIGHEST_LEVEL.match(contents.data, start, start + _LONGEST_HEADER)
        if not level:
            return contents
        start, highest = level.end(), int(level[1])
    else:
        start += 1
    stride = -(-width // 8) if highest == 1 and found[1] == b"4" else width
    stride *= (3 if found[1] == b"6" else 1) * (2 if highest > 255 else 1)
    missing = start + stride * height - len(contents.data)
    damage = ""
    if 0 < missing < stride * height:
        damage = f"is cut off: {describe_missing_rows(-(-missing // stride), height)}"
        damage += " and stay black"
    return PixelMapContents(
        contents.kind,
        contents.data,
        contents.size,
        metadata=contents.metadata,
        damage=damage,
        lost=("16 bits per sample (8 are read)",) if highest > 255 else (),
        needed_bytes=stride * height,
        most_bytes=contents.most_bytes,
        whole_length=start + stride * height if damage else 0,
    )
