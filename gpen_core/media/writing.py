"""Encode a `Picture` into an image file, which is written whole or not at all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ..errors import ImageError
from ..files import write_atomically
from . import writers
from .formats import find_format
from .picture import Picture

if TYPE_CHECKING:
    import os


def write_image(path: str | os.PathLike[str], image: torch.Tensor) -> None:
    """Write an RGB tensor as an image file with 8 bits per sample.

    Values outside [0, 1] are clamped and the rest are rounded to the nearest of 256 levels. An
    existing file is replaced, and only once the new file is complete.

    Args:
        path: its suffix chooses the format: .jpg, .png, .webp, .tif, .bmp, .avif or another of
            `gpen_core.names.WRITABLE`.
        image: [1, 3, H, W] floating-point RGB in [0, 1], on any device.

    Raises:
        ImageError: no format has that suffix, the image holds NaN, or the file cannot be written.
        MismatchError: the image has another shape.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> import gpen_core as gpen
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "white.png"
        ...     gpen.write_image(path, torch.full((1, 3, 4, 6), 1.5))
        ...     image = gpen.read_image(path)
        >>> bool((image == 1).all())  # 1.5 was clamped
        True
    """
    write_picture(path, Picture(image))


def write_picture(
    path: str | os.PathLike[str], picture: Picture, *, overwrite: bool = True
) -> None:
    """Write a picture as a file of the format that the suffix names.

    Pictures of 16 bits keep them in PNG and TIFF and become 8 bits in the other formats. EXIF, XMP
    and the colour profile are written wherever the format can hold them.

    Raises:
        ImageError: the format is unknown or cannot hold the picture (its alpha, colour profile or
            size), the picture holds NaN, the file exists and `overwrite` is off, or the disk fails.
    """
    path = Path(path)
    format_ = find_format(path)
    format_.check(path, picture.size, profile=bool(picture.metadata.icc))
    # Plane by plane: `isfinite` takes as much memory again as the tensor that it checks.
    if not all(bool(torch.isfinite(plane).all()) for plane in picture.pixels[0]):
        raise ImageError(f"{path} is not written: the image holds NaN or infinite values.")
    alpha = picture.alpha
    if alpha is not None and not format_.has_alpha:
        if bool((alpha < 1).any()):
            raise ImageError(
                f"{path} is not written: {format_.name} holds no transparency, and this picture "
                "has some. Name a .png, .webp or .tif file."
            )
        alpha = None
    bits = picture.bits if format_.has_sixteen_bits else 8
    samples = _quantize(picture, alpha, bits)
    try:
        with write_atomically(path, overwrite=overwrite) as scratch, scratch.open("xb") as file:
            if format_.name == "TIFF":
                writers.write_tiff(file, samples, picture.metadata)
            elif bits == 16:
                writers.write_png16(file, samples, picture.metadata)
            else:
                carried = picture.metadata.make_pillow_options(format_.name, picture.size)
                options = carried | dict(format_.options)
                Image.fromarray(samples).save(file, format_.name, **options)
    except FileExistsError as error:
        raise ImageError(
            f"{path} exists; pass --overwrite (overwrite=True) to replace it."
        ) from error
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise ImageError(f"{path} cannot be written: {error}") from error


def _quantize(picture: Picture, alpha: torch.Tensor | None, bits: int) -> np.ndarray:
    """Round pixels and alpha to [H, W] or [H, W, C] integers of that many bits."""
    planes = list(picture.pixels[0, : picture.channels])
    if alpha is not None:
        planes.append(alpha[0, 0])
    width, height = picture.size
    samples = np.empty((height, width, len(planes)), np.uint8 if bits == 8 else np.uint16)
    for i, plane in enumerate(planes):
        levels = plane.detach().float().clamp(0, 1).mul_(2**bits - 1).round_()
        samples[..., i] = levels.cpu().numpy()
    return samples[..., 0] if len(planes) == 1 else samples
