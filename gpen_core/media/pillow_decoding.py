"""Decode with Pillow: one named plugin, never whatever plugin takes the data.

We call the plugin's class instead of `Image.open`. `Image.open` tries every plugin, one of which
hands PostScript to a foreign program, and it refuses large pictures by a limit that belongs to the
whole process.
"""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.ImageFile import ImageFile


def _find_plugin(kind: str) -> type[ImageFile]:
    """Return the class that reads a format, by Pillow's name for it."""
    if kind == "HEIF":
        from pillow_heif import HeifImageFile

        return HeifImageFile
    return _list_plugins()[kind]


@cache
def _list_plugins() -> dict[str, type[ImageFile]]:
    """Import the plugins that come with Pillow: 20 ms, so only once one of them is needed."""
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.PpmImagePlugin import PpmImageFile
    from PIL.PsdImagePlugin import PsdImageFile
    from PIL.TgaImagePlugin import TgaImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {
        "AVIF": AvifImageFile,
        "BMP": BmpImageFile,
        "GIF": GifImageFile,
        "JPEG": JpegImageFile,
        "JPEG2000": Jpeg2KImageFile,
        "PNG": PngImageFile,
        "PPM": PpmImageFile,
        "PSD": PsdImageFile,
        "TGA": TgaImageFile,
        "TIFF": TiffImageFile,
        "WEBP": WebPImageFile,
    }


def open_image(kind: str, data: bytes) -> ImageFile:
    """Read the header of a file with the plugin for its format.

    Raises:
        ImportError: the plugin is not installed.
        Exception: Pillow raises almost any kind on damaged data.
    """
    plugin = _find_plugin(kind)
    with warnings.catch_warnings():
        # Pillow warns of damaged metadata, which does no harm to the pixels.
        warnings.simplefilter("ignore")
        return plugin(io.BytesIO(data), "")


def load(image: ImageFile) -> None:
    """Decode the pixels of an opened image, of any size: `limits.check_size` has allowed it."""
    if image.format == "TIFF":
        # Otherwise the plugin makes this memory itself, and checks the limit of the process.
        image.im = Image.core.new(image.mode, image.size)
    image.load()


def decode(
    kind: str, data: bytes, icc: bytes, path: Path
) -> tuple[np.ndarray, bytes | None, tuple[str, ...]]:
    """Decode to uint8 [H, W, C]: grey, grey + alpha, RGB or RGBA.

    Args:
        kind: Pillow's name for the format.
        data: the file.
        icc: the colour profile, by which CMYK is converted; may be empty.
        path: the file's name, for messages.

    Returns:
        The samples; the colour profile that they have now, or None where the file's own is right;
        and what got lost, in a few words each.

    Raises:
        ImageError: the file holds several pictures, or samples of another mode.
    """
    with open_image(kind, data) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refuse_frames(image, path)
        load(image)
        changed, lost = None, ()
        if image.mode == "CMYK":
            converted, lost = _convert_cmyk(image, icc)
            changed = b""
        else:
            converted = _convert_mode(image, path)
        samples = np.asarray(converted)
    return samples.reshape(*samples.shape[:2], -1), changed, lost


def refuse_frames(image: ImageFile, path: Path) -> None:
    """Refuse a file of several pictures.

    Raises:
        ImageError: it holds several.
    """
    if image.format == "GIF":  # counting its frames takes time
        several = getattr(image, "is_animated", False)
        frames = "several" if several else "1"
    else:
        several = getattr(image, "n_frames", 1) > 1
        frames = str(getattr(image, "n_frames", 1))
    if several and image.format == "PSD":
        raise ImageError(f"{path} holds {frames} layers; expected one. Flatten it first.")
    if several:
        raise ImageError(
            f"{path} holds {frames} frames or pages; expected one. Split it into single images."
        )


def _convert_mode(image: Image.Image, path: Path) -> Image.Image:
    """Convert to mode L, LA, RGB or RGBA."""
    if image.mode in ("P", "PA", "RGB", "L") and image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode == "1" and image.has_transparency_data:
        return image.convert("RGBA").convert("LA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "YCbCr"):
        return image.convert("RGB")
    raise ImageError(
        f"{path} holds samples of mode {image.mode!r}; expected grey or RGB with 8 bits, or a PNG "
        "or TIFF with 16. Convert it first."
    )


def _convert_cmyk(image: Image.Image, icc: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert CMYK to sRGB through its profile, or plainly where it has none that fits."""
    from PIL import ImageCms

    if not icc:
        return image.convert("RGB"), ()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image.convert("RGB"), ("a colour profile that does not fit CMYK",)
    assert converted is not None  # only a conversion in place returns None
    return converted, ()
