"""Tell a file's kind by its first bytes, before any decoder sees it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ..errors import ImageError
from .containers import tiff
from .png_chunks import SIGNATURE
from .tiff_tags import BIG_TIFF_HEADERS, TIFF_HEADERS

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 64
"""How many bytes tell the kind."""

RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"),
        *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
        *(".sr2", ".srf", ".srw", ".x3f"),
    )
)
"""Suffixes of camera raws; many of them are TIFF files by their first bytes."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (SIGNATURE, "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    *((b"P%d" % number, "PPM") for number in range(1, 7)),
    *((start, "TIFF") for start in (*TIFF_HEADERS, *BIG_TIFF_HEADERS)),
)
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_RAW_PARTS = ((6, b"HEAPCCDR"), (8, b"CR\2\0"))  # Canon's, by offset
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_VIDEO_STARTS = (
    (0, b"\x1aE\xdf\xa3"),
    (8, b"AVI "),
    (0, b"\0\0\1\xba"),
    (0, b"FLV\1"),
    (0, b"OggS"),
)
_OTHER_STARTS = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "a PDF document"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"<svg", "an SVG drawing"),
    (b"v/1\1", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
)


def find_kind(path: Path, head: bytes, length: int) -> str:
    """Return Pillow's name for the format of a file.

    Args:
        path: the file; only its suffix is looked at.
        head: its first bytes, `HEAD` of them.
        length: bytes of the whole file, for the message.

    Raises:
        ImageError: we do not read such a file. The message names its kind where we know it.
    """
    if _is_raw(path, head):
        raise ImageError(tiff.describe_raw(path))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _find_boxed_kind(path, head)
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if path.suffix.lower() == ".tga":
        return "TGA"  # the format has no signature
    _refuse_known(path, head)
    raise ImageError(
        f"{path} is not an image that can be read ({length} bytes, starting {head[:8]!r}). "
        "Convert it to PNG, JPEG, WebP or TIFF, with 8 or 16 bits per sample."
    )


def _is_raw(path: Path, head: bytes) -> bool:
    is_tiff = head[:4] in (*TIFF_HEADERS, *BIG_TIFF_HEADERS)
    return (
        (is_tiff and path.suffix.lower() in RAW_SUFFIXES)
        or head.startswith(_RAW_STARTS)
        or any(head[at:].startswith(part) for at, part in _RAW_PARTS)
        or head[4:12] == b"ftypcrx "
    )


def _find_boxed_kind(path: Path, head: bytes) -> str:
    """Tell AVIF, HEIC and films apart by their brands."""
    end = min(len(head), int.from_bytes(head[:4], "big"))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        if importlib.util.find_spec("pillow_heif") is None:
            raise ImageError(
                f'{path} is HEIC. Reading it needs pillow-heif: pip install "gpen-restore[heif]". '
                "Or convert it to JPEG."
            )
        return "HEIF"
    raise ImageError(_describe_video(path))


def _refuse_known(path: Path, head: bytes) -> None:
    if any(head[at:].startswith(start) for at, start in _VIDEO_STARTS):
        raise ImageError(_describe_video(path))
    for start, name in _OTHER_STARTS:
        if head.startswith(start):
            raise ImageError(
                f"{path} is {name}, not an image that can be read. Convert it to PNG, JPEG, WebP "
                "or TIFF."
            )


def _describe_video(path: Path) -> str:
    return f"{path} is a film; expected a picture. Save the frames that you want as PNG files."
