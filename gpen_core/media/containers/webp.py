"""Take a WebP apart."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from .. import exif as exif_block
from .. import limits
from ..contents import Contents, Decoded
from ..metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

_LOSSLESS, _LOSSY, _EXTENDED = b"VP8L", b"VP8 ", b"VP8X"


class WebpContents(Contents):
    """A WebP, taken apart."""

    def decode(self, path: Path) -> Decoded:
        if self.size[0] * self.size[1] <= limits.find_pixel_limit():
            return super().decode(path)
        # Pillow's plugin refuses it by the limit of the process.
        import cv2

        samples = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if samples is None:
            raise OSError("OpenCV cannot decode the WebP")
        return Decoded(samples[..., (2, 1, 0, *range(3, samples.shape[2]))])


def parse(data: bytes, path: Path) -> Contents:
    """Take a WebP apart.

    Raises:
        ImageError: it is cut off, or has no picture.
    """
    chunks: dict[bytes, bytes] = {}
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > len(data):
            raise ImageError(
                f"{path} is cut off: the WebP's part {name.decode('latin-1').strip()!r} should "
                f"have {length} bytes, {len(data) - at - 8} are there. Copy the file again."
            )
        chunks.setdefault(name, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    exif = exif_block.clean_exif(chunks.get(b"EXIF", b""))
    size = _read_size(chunks)
    metadata = Metadata(
        exif=exif,
        icc=chunks.get(b"ICCP", b""),
        dpi=exif_block.find_exif_dpi(exif),
        xmp=chunks.get(b"XMP ", b""),
        stored_size=size,
    )
    return WebpContents(
        "WEBP",
        data,
        size,
        metadata=metadata.with_orientation(),
        is_lossless=_LOSSLESS in chunks,
        needed_bytes=3 * size[0] * size[1],
    )


def _read_size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Return (width, height); (0, 0) where the headers do not say."""
    extended, lossless, lossy = (chunks.get(n, b"") for n in (_EXTENDED, _LOSSLESS, _LOSSY))
    if len(extended) >= 10:
        width, height = (int.from_bytes(extended[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    if len(lossless) >= 5:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(lossy) >= 10:
        width, height = struct.unpack_from("<HH", lossy, 6)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
