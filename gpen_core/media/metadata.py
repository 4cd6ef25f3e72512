"""What an image file says besides its pixels: EXIF, colour profile, resolution, orientation."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import tiff_tags
from .tiff_tags import EXIF_IFD, LONG, ORIENTATION, PIXEL_HEIGHT, PIXEL_WIDTH, SHORT, X_RESOLUTION
from .xmp import read_xmp, save_xmp, xmp_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from PIL import Image

MOST_DPI = 65_536
"""What says as much is damaged, and more than JPEG can hold."""

_PREFIX = b"Exif\0\0"
HEADERS = (b"II*\0", b"MM\0*")
"""How a TIFF, or EXIF, begins."""


@dataclass(frozen=True)
class Metadata:
    """What goes from the input file to the output file.

    Attributes:
        exif: a TIFF structure as in the file, without the leading "Exif"; empty when there is none.
        icc: the colour profile; empty when there is none.
        dpi: (x, y) dots per inch, or None.
        xmp: a packet of XMP; empty when there is none.
    """

    exif: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""

    @classmethod
    def read(cls, image: Image.Image, data: bytes) -> tuple[Metadata, int]:
        """Read an opened image's; also the orientation (1 … 8) still to be applied to its samples.

        Call it after decoding: Pillow and OpenCV turn TIFF samples themselves, and no others.
        """
        exif = image.info.get("exif", b"").removeprefix(_PREFIX)
        orientation = 1
        if image.format == "TIFF":
            exif = tiff_tags.extract_exif(data)
        elif exif and exif[:4] not in HEADERS:
            exif = b""
        else:
            tags = image.getexif()  # finds it in XMP and in a PNG's text too
            orientation = tags.get(ORIENTATION, 1)
            exif = exif or (tags.tobytes() if len(tags) else b"").removeprefix(_PREFIX)
        dpi = image.info.get("dpi")
        if image.format == "TIFF" and X_RESOLUTION not in image.getexif():
            dpi = None  # Pillow says (1, 1)
        if dpi is not None:
            dpi = (float(dpi[0]), float(dpi[1]))
            if not all(math.isfinite(dots) and 0 < dots < MOST_DPI for dots in dpi):
                dpi = None
        icc = image.info.get("icc_profile")
        read = cls(
            exif=exif, icc=icc if isinstance(icc, bytes) else b"", dpi=dpi, xmp=read_xmp(image.info)
        )
        return read, orientation if orientation in range(1, 9) else 1

    def exif_for(self, size: tuple[int, int]) -> bytes:
        """The EXIF of a written file of `size` (width, height), whose pixels are upright.

        Orientation and sides are changed in place, and the thumbnail, which shows the picture as
        it was, is left without a reference; all else stays byte for byte.
        """
        changes = {ORIENTATION: 1, PIXEL_WIDTH: size[0], PIXEL_HEIGHT: size[1]}
        exif = bytearray(self.exif)
        for tag, kind, at in _numbers(self.exif):
            if tag in changes and kind in (SHORT, LONG):
                # EXIF wants a SHORT for the orientation and takes either for the sides.
                code, kind = ("H2x", SHORT) if tag == ORIENTATION else ("L", LONG)
                layout = f"{tiff_tags.byte_order(exif)}HL{code}"
                struct.pack_into(layout, exif, at - 6, kind, 1, changes[tag])
        tiff_tags.unlink_next_directory(exif)
        return bytes(exif)

    def save_options(self, kind: str, size: tuple[int, int]) -> dict[str, Any]:
        """What to hand to Pillow's `Image.save` for a file of `size` (width, height).

        Args:
            kind: Pillow's name of the format.
            size: of the picture.
        """
        exif = self.exif_for(size)
        options = {"icc_profile": self.icc, "dpi": self.dpi, "exif": exif and _PREFIX + exif}
        options |= save_xmp(kind, xmp_for(self.xmp, size))
        return {name: value for name, value in options.items() if value}


NO_METADATA = Metadata()


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """A view of samples [H, W, C], turned as EXIF's `orientation` (1 … 8) asks."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _numbers(exif: bytes) -> Iterator[tuple[int, int, int]]:
    """(tag, type, offset of the value) in the main directory and in the Exif one."""
    if len(exif) < 8:
        return
    for tag, kind, _, at in tiff_tags.locate(exif, tiff_tags.main_directory(exif)):
        yield tag, kind, at
        if tag == EXIF_IFD:
            (start,) = struct.unpack_from(tiff_tags.byte_order(exif) + "L", exif, at)
            for inner_tag, inner_kind, _, inner_at in tiff_tags.locate(exif, start):
                yield inner_tag, inner_kind, inner_at
