"""Read an image file into a `Picture`.

A file is read into memory before it is decoded, so that its path may hold any Unicode character:
OpenCV cannot open such paths on Windows.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import ImageError
from ..files import name_special
from . import kinds, limits
from .containers import bmp, boxes, jpeg, png, simple, tiff, webp
from .picture import Picture
from .turning import turn_upright

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from .contents import Contents, Decoded

    OnDamage = Callable[[str], None]

_PARSERS: dict[str, Callable[[bytes, Path], Contents]] = {
    "JPEG": jpeg.parse,
    "PNG": png.parse,
    "WEBP": webp.parse,
    "TIFF": tiff.parse,
    "BMP": bmp.parse,
}
_BOXED = ("AVIF", "HEIF", "JPEG2000")


def read_image(
    path: str | os.PathLike[str], *, strict: bool = False, allow_large: bool = False
) -> torch.Tensor:
    """Read an image file as an RGB tensor, turned upright as its EXIF asks.

    Transparency is dropped. The colours stay in the file's colour space. Of a damaged file, such as
    a JPEG that is cut off, as much is returned as can be decoded, with a Python warning that says
    what is missing.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF, JPEG 2000, PPM, PSD or TGA, with 8 bits per
            sample; PNG and TIFF may have 16. HEIC is read where `pillow-heif` is installed.
        strict: refuse damaged files.
        allow_large: read pictures of more than twice Pillow's `Image.MAX_IMAGE_PIXELS`, which are
            refused otherwise.

    Returns:
        [1, 3, H, W] float32 RGB in [0, 1], on the CPU. A grey file gives three equal channels.

    Raises:
        ImageError: the file is absent, damaged, too large, HDR, or of a format that we cannot read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> import gpen_core as gpen
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gpen.write_image(Path(folder) / "white.png", torch.ones(1, 3, 4, 6))
        ...     image = gpen.read_image(Path(folder) / "white.png")
        >>> image.shape, image.dtype
        (torch.Size([1, 3, 4, 6]), torch.float32)
        >>> bool((image == 1).all())
        True
    """

    def warn(message: str) -> None:
        warnings.warn(message, stacklevel=3)

    return read_picture(path, strict=strict, allow_large=allow_large, on_damage=warn).pixels


def read_picture(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    allow_large: bool = False,
    on_damage: OnDamage | None = None,
) -> Picture:
    """Read an image file with everything that it carries.

    Args:
        path: the file.
        strict: refuse damaged files.
        allow_large: read pictures of more than twice Pillow's `Image.MAX_IMAGE_PIXELS`.
        on_damage: called with a message if the file is damaged and could be decoded in part. If it
            is None, such files are refused.

    Raises:
        ImageError: the file is absent, damaged, too large, HDR, or of a format that we cannot read.
    """
    path = Path(path)
    contents = open_contents(path, allow_large=allow_large)
    decoded = _decode(contents, path)
    if decoded.damage:
        message = f"{path} {decoded.damage}"
        if strict or on_damage is None:
            way = "Leave out --strict (strict=True)" if strict else "Pass on_damage"
            raise ImageError(f"{message}. {way} to use what there is.")
        on_damage(f"{message}.")
    # Outside of `try`: PyTorch raises RuntimeError when memory runs out, and then the file is fine.
    return _make_picture(contents, decoded)


def find_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (width, height) as an image file stores them, without decoding its pixels.

    Raises:
        ImageError: the file is absent, damaged, or of a format that we cannot read.
    """
    return open_contents(Path(path), allow_large=True).size


def open_contents(path: Path, *, allow_large: bool) -> Contents:
    """Take an image file apart, without decoding its pixels.

    Raises:
        ImageError: the file is absent, damaged, too large, HDR, or of a format that we cannot read.
    """
    kind, data = _read_bytes(path)
    try:
        if kind in _PARSERS:
            contents = _PARSERS[kind](data, path)
        elif kind in _BOXED:
            contents = boxes.parse(kind, data, path)
        else:
            contents = simple.parse(kind, data, path)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    limits.check_size(contents, path, len(data), allow_large=allow_large)
    return contents


def _read_bytes(path: Path) -> tuple[str, bytes]:
    """Return the kind of a file by its first bytes, and its bytes."""
    try:
        special = name_special(path)
        if special or path.is_dir():
            reason = f"it is {special}, no regular file" if special else "it is a folder"
            raise ImageError(f"{path} cannot be read: {reason}.")
        with path.open("rb") as file:
            head = file.read(kinds.HEAD)
            if not head:
                raise ImageError(f"{path} is empty (0 bytes).")
            kind = kinds.find_kind(path, head, path.stat().st_size)
            file.seek(0)
            return kind, file.read()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist.") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}.") from error


def _decode(contents: Contents, path: Path) -> Decoded:
    try:
        return contents.decode(path)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's and OpenCV's decoders raise almost any kind
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ImageError:
    expected = (OSError, SyntaxError, ValueError, EOFError)
    reason = str(error) if isinstance(error, expected) else f"{type(error).__name__}: {error}"
    return ImageError(f"{path} is damaged and cannot be decoded: {reason}")


def _make_picture(contents: Contents, decoded: Decoded) -> Picture:
    metadata = contents.metadata
    if decoded.icc is not None:
        metadata = replace(metadata, icc=decoded.icc, is_icc_made=False)
    samples = turn_upright(decoded.samples, metadata.orientation)
    channels = 3 if samples.shape[2] > 2 else 1
    grey = channels == 1 or all(np.array_equal(samples[..., 0], samples[..., c]) for c in (1, 2))
    return Picture(
        pixels=_scale_to_float(samples, (0,) * 3 if channels == 1 else (0, 1, 2)),
        alpha=_scale_to_float(samples, (channels,)) if samples.shape[2] > channels else None,
        bits=contents.bits,
        channels=channels,
        grey=grey,
        metadata=metadata,
        is_lossless=contents.is_lossless,
        lost=(*contents.lost, *decoded.lost),
    )


def _scale_to_float(samples: np.ndarray, columns: tuple[int, ...]) -> torch.Tensor:
    """Turn columns of [H, W, C] integers into [1, len(columns), H, W] float32 in [0, 1].

    One plane is converted at a time, to save memory.
    """
    planes = torch.empty(1, len(columns), *samples.shape[:2], dtype=torch.float32, device="cpu")
    for i, column in enumerate(columns):
        planes[0, i] = torch.from_numpy(samples[..., column].astype(np.float32))
    return planes.div_(np.iinfo(samples.dtype).max)
