"""Decode an image file into a `Picture`.

A file is read into memory before it is decoded, so that its path may hold any Unicode character:
OpenCV cannot open such paths on Windows.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from . import sixteen_bit
from .metadata import TIFF_HEADERS, Metadata, turn_upright
from .picture import Picture

if TYPE_CHECKING:
    import os

_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError),
    *(RuntimeError, struct.error, zlib.error),
)
"""The exceptions that Pillow's decoders raise on damaged data."""


def read_image(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read an image file as an RGB tensor, turned upright as its EXIF asks.

    Transparency is dropped. The colours stay in the file's colour space.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP, AVIF or another file that Pillow opens, with 8 bits per
            sample; PNG and TIFF may have 16.

    Returns:
        [1, 3, H, W] float32 RGB in [0, 1], on the CPU. A grey file gives three equal channels.

    Raises:
        ImageError: the file is absent, damaged, too large, or of a format that we cannot read.

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
    return read_picture(path).pixels


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read an image file with everything that it carries.

    Raises:
        ImageError: the file is absent, damaged, too large, or of a format that we cannot read.
    """
    path = Path(path)
    data = _read_bytes(path)
    with warnings.catch_warnings():
        # Pillow warns above 89 megapixels and refuses above 179. We report only the refusal.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # Pillow also warns of damaged EXIF, which does no harm to the pixels.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        try:
            with Image.open(io.BytesIO(data)) as opened:
                decoded = _decode(opened, data, path)
        except Image.DecompressionBombError as error:
            raise ImageError(f"{path} is too large to open: {error}") from error
        except UnidentifiedImageError as error:
            is_tiff = data[:4] in TIFF_HEADERS
            raise ImageError(
                f"{path} is {'a TIFF that cannot' if is_tiff else 'not an image that can'} be read "
                f"({len(data)} bytes, starting {data[:8]!r}). Convert it to PNG, JPEG, WebP or "
                "TIFF, with 8 or 16 bits per sample."
            ) from error
        except _DECODER_ERRORS as error:
            raise ImageError(f"{path} is damaged and cannot be decoded: {error}") from error
    # Outside of `try`: PyTorch raises RuntimeError when memory runs out, and then the file is fine.
    return _make_picture(*decoded)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist.") from error
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else str(error)
        raise ImageError(f"{path} cannot be read: {reason}.") from error
    if not data:
        raise ImageError(f"{path} is empty (0 bytes).")
    return data


def _decode(opened: Image.Image, data: bytes, path: Path) -> tuple[np.ndarray, int, Metadata]:
    """Return upright samples [H, W, C], the bits per sample, and the metadata."""
    frames = getattr(opened, "n_frames", 1)
    # An MPO is a camera's JPEG. The pictures after the first are its previews or its depth map.
    if frames > 1 and opened.format != "MPO":
        raise ImageError(
            f"{path} holds {frames} frames or pages; expected one. Split it into single images."
        )
    bits = sixteen_bit.find_bit_depth(opened, data)
    if bits == 16:
        samples, profile = sixteen_bit.decode(opened, data, path), None
    else:
        converted, profile = _convert_mode(opened, path)
        samples = np.asarray(converted)
    metadata, orientation = Metadata.read(opened, data)
    if profile is not None:
        metadata = replace(metadata, icc=profile)
    return turn_upright(samples.reshape(*samples.shape[:2], -1), orientation), bits, metadata


def _make_picture(samples: np.ndarray, bits: int, metadata: Metadata) -> Picture:
    channels = 3 if samples.shape[2] > 2 else 1
    grey = channels == 1 or all(np.array_equal(samples[..., 0], samples[..., c]) for c in (1, 2))
    return Picture(
        pixels=_scale_to_float(samples, (0,) * 3 if channels == 1 else (0, 1, 2)),
        alpha=_scale_to_float(samples, (channels,)) if samples.shape[2] > channels else None,
        bits=bits,
        channels=channels,
        grey=grey,
        metadata=metadata,
    )


def _convert_mode(image: Image.Image, path: Path) -> tuple[Image.Image, bytes | None]:
    """Convert to mode L, LA, RGB or RGBA.

    Returns:
        The image, and its new colour profile if the conversion changed it, else None.
    """
    image.load()
    if image.mode in ("P", "PA", "RGB", "L") and image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA"), None
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image, None
    if image.mode == "1" and image.has_transparency_data:
        return image.convert("RGBA").convert("LA"), None
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return _convert_cmyk(image, path), b""
    if image.mode in ("P", "YCbCr", "CMYK"):
        return image.convert("RGB"), None
    raise ImageError(
        f"{path} holds samples of mode {image.mode!r}; expected grey or RGB with 8 bits, or a PNG "
        "or TIFF with 16. Convert it first."
    )


def _convert_cmyk(image: Image.Image, path: Path) -> Image.Image:
    """Convert CMYK to sRGB through the profile that the image holds."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    try:
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise ImageError(f"{path} holds CMYK whose profile cannot be used: {error}") from error
    assert converted is not None  # only a conversion in place returns None
    return converted


def _scale_to_float(samples: np.ndarray, columns: tuple[int, ...]) -> torch.Tensor:
    """Turn columns of [H, W, C] integers into [1, len(columns), H, W] float32 in [0, 1].

    One plane is converted at a time, to save memory.
    """
    planes = torch.empty(1, len(columns), *samples.shape[:2], dtype=torch.float32, device="cpu")
    for i, column in enumerate(columns):
        planes[0, i] = torch.from_numpy(samples[..., column].astype(np.float32))
    return planes.div_(np.iinfo(samples.dtype).max)
