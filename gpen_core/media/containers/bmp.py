"""Take a BMP apart, with all bit fields, profiles and calibrated colours that its headers hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from .. import colour
from .. import exif as exif_block
from ..contents import MOST_CUT, Contents, Decoded, describe_missing_rows
from ..metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour space
_GREATEST_COMPRESSION = 255  # pixels in two bytes, of run-length coding


@dataclass(frozen=True)
class BmpContents(Contents):
    """A BMP, taken apart.

    Attributes:
        masks: the bits of red, green, blue and alpha in each pixel; none where Pillow decodes.
        start: offset of the pixels.
        stride: bytes of a row.
        is_upside_down: the last row is stored first, as is usual.
    """

    masks: tuple[int, ...] = ()
    start: int = 0
    stride: int = 0
    is_upside_down: bool = True

    def decode(self, path: Path) -> Decoded:
        width, height = self.size
        end = self.start + self.stride * height
        whole = self if not self.damage else replace(self, data=self.data.ljust(end, b"\0"))
        if not self.masks:
            return Contents.decode(whole, path)
        rows = np.frombuffer(whole.data, np.uint8, self.stride * height, self.start)
        word = "<u2" if self.stride < 4 * width else "<u4"
        pixels = rows.reshape(height, self.stride).view(word)[:, :width]
        planes = [_read_field(pixels, mask) for mask in self.masks if mask]
        if len(planes) == 4 and not planes[3].any():
            del planes[3]  # a field that nobody filled
        samples = np.stack(planes, axis=-1)
        return Decoded(samples[::-1] if self.is_upside_down else samples, damage=self.damage)


def parse(data: bytes, path: Path) -> Contents:
    """Take a BMP apart.

    Raises:
        ImageError: the header is damaged, or names a coding that we cannot read.
    """
    header = int.from_bytes(data[14:18], "little")
    if header not in _HEADERS or len(data) < 14 + header:
        raise ImageError(f"{path} is damaged: its BMP header is cut off or of an unknown length.")
    start = int.from_bytes(data[10:14], "little")
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        coding, dots = _PLAIN, (0, 0)
    else:
        width, height, _, bits, coding, _, *dots = struct.unpack_from("<iiHHIIii", data, 18)
    if coding not in (_PLAIN, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS) or width < 1:
        raise ImageError(f"{path} is a BMP of coding {coding}, which we cannot read.")
    is_upside_down, height = height > 0, abs(height)
    stride = (width * bits + 31) // 32 * 4
    is_coded = coding in (_RLE8, _RLE4)
    damage = ""
    missing = 0 if is_coded else start + stride * height - len(data)
    if 0 < missing < stride * height:
        rows = describe_missing_rows(
            -(-missing // stride), height, "first" if is_upside_down else "last"
        )
        damage = f"is cut off: {rows} and stay black"
    masks = _read_masks(data, header, bits) if coding in (_BIT_FIELDS, _ALPHA_BIT_FIELDS) else ()
    return BmpContents(
        "BMP",
        data,
        (width, height),
        metadata=Metadata(
            icc=_read_colours(data, header),
            dpi=exif_block.check_dpi([number * 0.0254 for number in dots]),
            stored_size=(width, height),
        ),
        damage=damage,
        needed_bytes=stride * height if not is_coded else width * height,
        most_bytes=len(data) * (_GREATEST_COMPRESSION if is_coded else MOST_CUT),
        masks=masks,
        start=start,
        stride=stride,
        is_upside_down=is_upside_down,
    )


def _read_masks(data: bytes, header: int, bits: int) -> tuple[int, ...]:
    """Return the masks of red, green, blue and perhaps alpha; none where they are not usable."""
    count = 4 if header >= 56 else 3
    if bits not in (16, 32) or len(data) < 54 + 4 * count:
        return ()
    masks = struct.unpack_from(f"<{count}I", data, 54)
    usable = all(0 < mask < 2**bits for mask in masks[:3]) and all(m < 2**bits for m in masks)
    return masks if usable else ()


def _read_field(pixels: np.ndarray, mask: int) -> np.ndarray:
    """Return the masked bits of each pixel, scaled to 0 … 255."""
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    values = (pixels & pixels.dtype.type(mask)) >> pixels.dtype.type(shift)
    return (values.astype(np.float64) * (255 / top)).round().astype(np.uint8)


def _read_colours(data: bytes, header: int) -> bytes:
    """Return the profile that a header of version 4 or 5 holds or describes; empty if none."""
    if header < 108:
        return b""
    (kind,) = struct.unpack_from("<I", data, 14 + 56)
    if kind == _EMBEDDED and header >= 124:
        start, length = struct.unpack_from("<II", data, 14 + 112)
        profile = data[14 + start : 14 + start + length]
        return profile if len(profile) == length and profile[36:40] == b"acsp" else b""
    numbers = struct.unpack_from("<9i3I", data, 14 + 60)
    columns = [[number / 2**30 for number in numbers[at : at + 3]] for at in (0, 3, 6)]
    if kind != _CALIBRATED or not all(sum(column) > 0 for column in columns):
        return b""
    white = [sum(parts) for parts in zip(*columns, strict=True)]
    points = [(x / (x + y + z), y / (x + y + z)) for x, y, z in (white, *columns)]
    curve = colour.gamma_curve(numbers[10] / 2**16)
    return colour.make_profile(tuple(points), curve)
