"""EXIF, XMP, IPTC, colours, resolution, texts and orientation of an image file."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

from . import photoshop
from .exif import PREFIX, find_orientation, update_exif
from .png_chunks import pack_chunk, pack_raw_profile
from .turning import Turn
from .xmp import PNG_KEYWORD, find_xmp_orientation, update_xmp

_XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST_SEGMENT = 65_533
MOST_JPEG_EXIF = _LONGEST_SEGMENT - len(PREFIX)
MOST_JPEG_XMP = _LONGEST_SEGMENT - len(_XMP_HEADER)
"""JPEG holds no longer blocks in one segment. We write no longer ones."""


@dataclass(frozen=True)
class Metadata:
    """The metadata that we copy from the input file to the output file.

    Attributes:
        exif: the file's EXIF block, a TIFF structure without the leading "Exif"; empty if the file
            has none.
        icc: the colour profile; empty if the file has none.
        dpi: (x, y) dots per inch, or None.
        xmp: the XMP packet; empty if the file has none.
        photoshop: image resources with IPTC's captions and keywords, each with its header "8BIM".
        comments: a JPEG's comments.
        png_texts: (name, content) of a PNG's text chunks, as they are in the file.
        png_colours: (name, content) of a PNG's chunks about colour, except its profile.
        is_icc_made: we made the profile from other statements about colour.
        orientation: the EXIF orientation (1 … 8) of the stored picture.
        stored_size: (width, height) of the stored picture, to which the metadata refer; None if
            nobody knows.
    """

    exif: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    photoshop: bytes = b""
    comments: tuple[bytes, ...] = ()
    png_texts: tuple[tuple[bytes, bytes], ...] = ()
    png_colours: tuple[tuple[bytes, bytes], ...] = ()
    is_icc_made: bool = False
    orientation: int = 1
    stored_size: tuple[int, int] | None = None

    def with_orientation(self, stated: int = 0) -> Metadata:
        """Return the metadata with the orientation that the file, its EXIF or its XMP states."""
        found = stated if stated in range(1, 9) else 0
        found = found or find_orientation(self.exif) or find_xmp_orientation(self.xmp)
        return replace(self, orientation=found or 1)

    def update_exif(self, size: tuple[int, int]) -> bytes:
        """Return the EXIF for an output file of `size` (width, height) with upright pixels."""
        return update_exif(self.exif, self._turn(size))

    def update_xmp(self, size: tuple[int, int]) -> bytes:
        """Return the XMP for an output file of `size` (width, height) with upright pixels."""
        return update_xmp(self.xmp, self._turn(size))

    def make_png_chunks(self, size: tuple[int, int]) -> bytes:
        """Return the chunks that stand between a PNG's header and its pixels.

        Args:
            size: (width, height) of the output.
        """
        chunks = [pack_chunk(name, content) for name, content in self.png_colours]
        if self.icc and not (self.is_icc_made and self.png_colours):
            packed = zlib.compress(self.icc)
            chunks.append(pack_chunk(b"iCCP", b"ICC profile\0\0" + packed))
        if self.dpi:
            per_metre = [round(dots / 0.0254) for dots in self.dpi]
            chunks.append(pack_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
        if self.exif:
            chunks.append(pack_chunk(b"eXIf", self.update_exif(size)))
        if self.xmp:
            head = PNG_KEYWORD.encode() + b"\0\0\0\0\0"  # uncompressed, without a language
            chunks.append(pack_chunk(b"iTXt", head + self.update_xmp(size)))
        if self.photoshop:
            chunks.append(pack_raw_profile("iptc", self.photoshop))
        chunks += [pack_chunk(name, content) for name, content in self.png_texts]
        return b"".join(chunks)

    def make_pillow_options(self, format_name: str, size: tuple[int, int]) -> dict[str, Any]:
        """Return the keyword arguments with which Pillow's `Image.save` writes this metadata.

        Args:
            format_name: Pillow's name for the format, one of JPEG, WEBP, AVIF and BMP.
            size: (width, height) of the output.
        """
        exif, xmp = self.update_exif(size), self.update_xmp(size)
        options: dict[str, Any] = {"dpi": self.dpi}
        if format_name != "BMP":
            options |= {"icc_profile": self.icc, "exif": exif and PREFIX + exif}
        if format_name in ("WEBP", "AVIF"):
            options["xmp"] = xmp
        if format_name == "JPEG":
            options["extra"] = self._make_jpeg_segments(xmp)
            if len(exif) > MOST_JPEG_EXIF:
                del options["exif"]
        return {name: value for name, value in options.items() if value}

    def find_losses(self, format_name: str) -> list[str]:
        """Name the metadata that a format cannot hold.

        Args:
            format_name: Pillow's name for the format.
        """
        is_jpeg, is_bmp = format_name == "JPEG", format_name == "BMP"
        holds_iptc = format_name in ("JPEG", "TIFF", "PNG")
        losses = {
            "EXIF": self.exif and (is_bmp or (is_jpeg and len(self.exif) > MOST_JPEG_EXIF)),
            "XMP": self.xmp and (is_bmp or (is_jpeg and len(self.xmp) > MOST_JPEG_XMP)),
            "IPTC": self.photoshop and not holds_iptc,
            "a JPEG's comments": self.comments and not is_jpeg,
            "a PNG's texts": self.png_texts and format_name != "PNG",
        }
        return [f"{name} (not in {format_name})" for name, lost in losses.items() if lost]

    def _turn(self, size: tuple[int, int]) -> Turn:
        return Turn(self.orientation, self.stored_size, size)

    def _make_jpeg_segments(self, xmp: bytes) -> bytes:
        """Return the segments that Pillow does not write by itself in all versions."""
        segments = [(0xFE, comment) for comment in self.comments]
        if xmp and len(xmp) <= MOST_JPEG_XMP:
            segments.append((0xE1, _XMP_HEADER + xmp))
        head, step = photoshop.JPEG_HEADER, _LONGEST_SEGMENT - len(photoshop.JPEG_HEADER)
        for at in range(0, len(self.photoshop), step):
            segments.append((0xED, head + self.photoshop[at : at + step]))
        return b"".join(
            struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
            for marker, content in segments
        )


NO_METADATA = Metadata()
