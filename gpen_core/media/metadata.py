"""EXIF, XMP, colour profile, resolution and orientation of an image file."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import tiff_tags
from .tiff_tags import EXIF_IFD, LONG, ORIENTATION, PIXEL_HEIGHT, PIXEL_WIDTH, SHORT, X_RESOLUTION
from .xmp import make_pillow_xmp, read_xmp, update_xmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from PIL import Image

MAX_DPI = 65_536
"""JPEG cannot hold this many dots per inch; a file that names as many is damaged."""

TIFF_HEADERS = (b"II*\0", b"MM\0*")
"""The first four bytes of a TIFF or of an EXIF block."""

_EXIF_PREFIX = b"Exif\0\0"


@dataclass(frozen=True)
class Metadata:
    """The metadata that we copy from the input file to the output file.

    Attributes:
        exif: the file's EXIF block, a TIFF structure without the leading "Exif"; empty if the file
            has none.
        icc: the colour profile; empty if the file has none.
        dpi: (x, y) dots per inch, or None.
        xmp: the XMP packet; empty if the file has none.
    """

    exif: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""

    @classmethod
    def read(cls, image: Image.Image, data: bytes) -> tuple[Metadata, int]:
        """Read the metadata of an opened image.

        Call this after decoding the image: Pillow and OpenCV turn the samples of a TIFF upright
        while they decode it, and those of no other format.

        Returns:
            The metadata, and the EXIF orientation (1 … 8) that the caller must still apply to the
            decoded samples.
        """
        exif = image.info.get("exif", b"").removeprefix(_EXIF_PREFIX)
        orientation = 1
        if image.format == "TIFF":
            exif = tiff_tags.extract_exif(data)
        elif exif and exif[:4] not in TIFF_HEADERS:
            exif = b""
        else:
            tags = image.getexif()  # also looks in XMP and in the text of a PNG
            orientation = tags.get(ORIENTATION, 1)
            exif = exif or (tags.tobytes() if len(tags) else b"").removeprefix(_EXIF_PREFIX)
        dpi = image.info.get("dpi")
        if image.format == "TIFF" and X_RESOLUTION not in image.getexif():
            dpi = None  # Pillow reports (1, 1) for a TIFF that states no resolution
        if dpi is not None:
            dpi = (float(dpi[0]), float(dpi[1]))
            if not all(math.isfinite(dots) and 0 < dots < MAX_DPI for dots in dpi):
                dpi = None
        icc = image.info.get("icc_profile")
        read = cls(
            exif=exif, icc=icc if isinstance(icc, bytes) else b"", dpi=dpi, xmp=read_xmp(image.info)
        )
        return read, orientation if orientation in range(1, 9) else 1

    def update_exif(self, size: tuple[int, int]) -> bytes:
        """Return the EXIF for an output file with upright pixels.

        The orientation and the sides are changed in place. The thumbnail shows the old picture, so
        nothing refers to it any more. All other bytes stay the same.

        Args:
            size: (width, height) of the output.
        """
        changes = {ORIENTATION: 1, PIXEL_WIDTH: size[0], PIXEL_HEIGHT: size[1]}
        exif = bytearray(self.exif)
        for tag, kind, at in _iterate_tags(self.exif):
            if tag in changes and kind in (SHORT, LONG):
                # EXIF requires a SHORT for the orientation and allows either type for the sides.
                code, kind = ("H2x", SHORT) if tag == ORIENTATION else ("L", LONG)
                layout = f"{tiff_tags.find_byte_order(exif)}HL{code}"
                struct.pack_into(layout, exif, at - 6, kind, 1, changes[tag])
        tiff_tags.unlink_next_directory(exif)
        return bytes(exif)

    def make_pillow_options(self, format_name: str, size: tuple[int, int]) -> dict[str, Any]:
        """Return the keyword arguments with which Pillow's `Image.save` writes this metadata.

        Args:
            format_name: Pillow's name for the format.
            size: (width, height) of the output.
        """
        exif = self.update_exif(size)
        options = {"icc_profile": self.icc, "dpi": self.dpi, "exif": exif and _EXIF_PREFIX + exif}
        options |= make_pillow_xmp(format_name, update_xmp(self.xmp, size))
        return {name: value for name, value in options.items() if value}


NO_METADATA = Metadata()


def turn_upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of samples [H, W, C], turned as the EXIF orientation (1 … 8) asks."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _iterate_tags(exif: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, type, offset of the value) for the main directory and the Exif directory."""
    if len(exif) < 8:
        return
    for tag, kind, _, at in tiff_tags.locate_entries(exif, tiff_tags.find_main_directory(exif)):
        yield tag, kind, at
        if tag == EXIF_IFD:
            (start,) = struct.unpack_from(tiff_tags.find_byte_order(exif) + "L", exif, at)
            for inner_tag, inner_kind, _, inner_at in tiff_tags.locate_entries(exif, start):
                yield inner_tag, inner_kind, inner_at
