"""How large a picture may be, known from its header before anything is allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from ..errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from .contents import Contents

BYTES_PER_PIXEL = 32
"""Memory that `gpen restore` takes at its peak, for messages (benchmarks/memory.py: 26)."""

_PHOTOGRAPH = 65_536  # pixels in a byte: no photograph is compressed like that
_SMALL = 1 << 24  # pixels that are harmless


def find_pixel_limit() -> float:
    """Return the most pixels that are read unasked: twice Pillow's `Image.MAX_IMAGE_PIXELS`.

    This is what Pillow itself does. We read the number, which belongs to the host program, and
    never change it.
    """
    return float("inf") if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def describe_memory(size: tuple[int, int], *, scale: int = 1) -> str:
    """Return "300 megapixels (20000 × 15000); restoring it takes about 14 GB of memory"."""
    width, height = size
    pixels = width * height * scale**2
    return (
        f"{width * height / 1e6:.0f} megapixels ({width} × {height}); restoring it takes about "
        f"{pixels * BYTES_PER_PIXEL / 1e9:.1f} GB of memory"
    )


def check_size(contents: Contents, path: Path, length: int, *, allow_large: bool) -> None:
    """Refuse a picture that is too large, or larger than its file can hold.

    Args:
        contents: the file, taken apart.
        path: its name, for messages.
        length: its bytes.
        allow_large: the user takes the memory upon himself.

    Raises:
        ImageError: it is.
    """
    width, height = contents.size
    if width < 1 or height < 1:
        raise ImageError(f"{path} is damaged: its header states {width} × {height} px.")
    pixels, needed, most = width * height, contents.needed_bytes, contents.most_bytes
    if most is not None and needed > most:
        raise ImageError(
            f"{path} is damaged: its header promises {width} × {height} px, {needed} bytes of "
            f"samples; a {contents.kind} of {length} bytes holds at most {most}."
        )
    if allow_large:
        return
    advice = "pass --allow-large (allow_large=True) to open it"
    if pixels > find_pixel_limit():
        raise ImageError(
            f"{path} is too large to open unasked: {describe_memory(contents.size)}. The limit is "
            f"{find_pixel_limit() / 1e6:.0f} megapixels; {advice}."
        )
    if pixels > max(_SMALL, _PHOTOGRAPH * length):
        raise ImageError(
            f"{path} is no photograph: {length} bytes for {describe_memory(contents.size)}. If it "
            f"is meant, {advice}."
        )
