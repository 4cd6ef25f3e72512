"""Encode a `Picture` into an image file, which is written whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ..errors import ImageError
from ..files import write_atomically
from . import writers
from .formats import Format, find_format
from .picture import Picture

if TYPE_CHECKING:
    import os
    from typing import BinaryIO


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

    Pictures of 16 bits keep them in PNG and TIFF and become 8 bits in the other formats. Metadata
    are written wherever the format can hold them; `find_losses` names the others.

    Raises:
        ImageError: the format is unknown or cannot hold the picture (its alpha, colour profile or
            size), the picture holds NaN, the file exists and `overwrite` is off, or the disk fails.
    """
    path = Path(path)
    check_writable(path, picture, picture.size)
    format_ = find_format(path)
    # Plane by plane: `isfinite` takes as much memory again as the tensor that it checks.
    if not all(bool(torch.isfinite(plane).all()) for plane in picture.pixels[0]):
        raise ImageError(f"{path} is not written: the image holds NaN or infinite values.")
    alpha = picture.alpha if format_.has_alpha else None
    bits = picture.bits if format_.has_sixteen_bits else 8
    samples = _quantize(picture, alpha, bits)
    try:
        with write_atomically(path, overwrite=overwrite) as scratch, scratch.open("xb") as file:
            _encode(file, samples, picture, format_)
    except FileExistsError as error:
        raise ImageError(
            f"{path} exists; pass --overwrite (overwrite=True) to replace it."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's encoders raise almost any kind
        raise ImageError(
            f"{path} cannot be written: {str(error) or type(error).__name__}"
        ) from error


def check_writable(path: Path, picture: Picture, size: tuple[int, int]) -> None:
    """Refuse a picture that the format named by the suffix cannot hold.

    Args:
        path: the file to be written.
        picture: the picture, perhaps before it is enlarged.
        size: (width, height) that it will have.

    Raises:
        ImageError: the format is unknown, or cannot hold its alpha, colour profile or size.
    """
    format_ = find_format(path)
    format_.check(path, size, profile=bool(picture.metadata.icc))
    alpha = picture.alpha
    if alpha is not None and not format_.has_alpha and bool((alpha < 1).any()):
        raise ImageError(
            f"{path} is not written: {format_.name} holds no transparency, and this picture "
            "has some. Name a .png, .webp or .tif file, or pass --ext png."
        )


def find_losses(path: Path, picture: Picture) -> list[str]:
    """Name, in a few words each, all that a file of this name will not hold.

    Args:
        path: the file to be written; its suffix chooses the format.
        picture: a picture that `read_picture` has read.
    """
    format_ = find_format(path)
    losses = [*picture.lost, *picture.metadata.find_losses(format_.name)]
    if picture.bits == 16 and not format_.has_sixteen_bits:
        losses.append(f"16 bits per sample ({format_.name} holds 8)")
    if picture.is_lossless and format_.name == "AVIF":
        losses.append(
            "the exact pixels of a lossless AVIF (Pillow writes AVIF with loss; PNG keeps them)"
        )
    return losses


def _encode(file: BinaryIO, samples: np.ndarray, picture: Picture, format_: Format) -> None:
    if format_.name == "TIFF":
        writers.write_tiff(file, samples, picture.metadata)
    elif format_.name == "PNG":
        write = writers.write_png16 if samples.dtype == np.uint16 else writers.write_png8
        write(file, samples, picture.metadata)
    else:
        options = picture.metadata.make_pillow_options(format_.name, picture.size)
        options |= dict(format_.lossless_options if picture.is_lossless else format_.options)
        with warnings.catch_warnings():
            # Pillow reads the EXIF that it writes, and warns of damage, which we copy as it is.
            warnings.simplefilter("ignore")
            Image.fromarray(samples).save(file, format_.name, **options)


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
