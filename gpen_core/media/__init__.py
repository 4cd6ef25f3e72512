"""Image files: the only place that knows 8- and 16-bit samples and what else a file carries.

`read_image` and `write_image` are the short form; a `Picture` keeps what a restoration must not
lose: transparency, bit depth, greyness, EXIF and the colour profile. Files are read as bytes and
written to a temporary neighbour that replaces the target at the end, so paths may hold any Unicode
and nobody ever sees half a file.
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
from ..files import replacing
from ..names import READ_ONLY, WRITABLE
from . import sixteen_bit, writers
from .formats import format_for
from .metadata import HEADERS, Metadata, upright
from .picture import Picture

if TYPE_CHECKING:
    import os

__all__ = [
    "READ_ONLY",
    "WRITABLE",
    "Metadata",
    "Picture",
    "read_image",
    "read_picture",
    "write_image",
    "write_picture",
]

_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError),
    *(RuntimeError, struct.error, zlib.error),
)
"""What Pillow's decoders raise on broken data."""


def read_image(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read an image file as [1, 3, H, W] float32 RGB in [0, 1], upright; alpha is left out.

    Raises:
        ImageError: the file is absent, damaged, too large or of a kind that is not read.
    """
    return read_picture(path).pixels


def write_image(path: str | os.PathLike[str], image: torch.Tensor) -> None:
    """Write [1, 3, H, W] RGB in [0, 1] as an 8-bit file of the kind that the suffix names.

    Values outside [0, 1] are clamped, the rest rounded to the nearest level. An existing file is
    replaced, at once and only when the new one is complete.

    Raises:
        ImageError: the suffix is not one of `WRITABLE`, or the file cannot be written.
        MismatchError: the image has another shape.
    """
    write_picture(path, Picture(image))


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read an image file with everything that it carries.

    Raises:
        ImageError: the file is absent, damaged, too large or of a kind that is not read.
    """
    path = Path(path)
    data = _read_bytes(path)
    with warnings.catch_warnings():
        # Pillow warns from 89 megapixels and refuses from 179; only the second is worth a word.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # Damaged EXIF is a warning too; the picture itself is none the worse.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        try:
            with Image.open(io.BytesIO(data)) as opened:
                decoded = _decode(opened, data, path)
        except Image.DecompressionBombError as error:
            raise ImageError(f"{path} is too large to open: {error}") from error
        except UnidentifiedImageError as error:
            is_tiff = data[:4] in HEADERS
            raise ImageError(
                f"{path} is {'a TIFF that cannot' if is_tiff else 'not an image that can'} be read "
                f"({len(data)} bytes, starting {data[:8]!r}). Convert it to PNG, JPEG, WebP or "
                "TIFF, of 8 or 16 bits."
            ) from error
        except _DAMAGED as error:
            raise ImageError(f"{path} is damaged and cannot be decoded: {error}") from error
    # Outside, because what PyTorch raises when memory runs out says nothing of the file.
    return _picture(*decoded)


def write_picture(
    path: str | os.PathLike[str], picture: Picture, *, overwrite: bool = True
) -> None:
    """Write a picture as a file of the kind that the suffix names.

    Sixteen bits are kept where the kind can (PNG, TIFF); EXIF and profile wherever it can.

    Raises:
        ImageError: the kind cannot be written or cannot hold what the picture carries (alpha, a
            colour profile, its size), the file exists and `overwrite` is off, or the disk fails.
    """
    path = Path(path)
    kind = format_for(path)
    kind.check(path, picture.size, profile=bool(picture.metadata.icc))
    # Plane by plane, because the check takes as much memory again as what it checks.
    if not all(bool(torch.isfinite(plane).all()) for plane in picture.pixels[0]):
        raise ImageError(f"{path} is not written: the image holds NaN or infinite values.")
    alpha = picture.alpha
    if alpha is not None and not kind.alpha:
        if bool((alpha < 1).any()):
            raise ImageError(
                f"{path} is not written: {kind.name} holds no transparency, which this picture "
                "has. Name a .png, .webp or .tif file."
            )
        alpha = None
    bits = picture.bits if kind.deep else 8
    samples = _samples(picture, alpha, bits)
    try:
        with replacing(path, overwrite=overwrite) as scratch, scratch.open("xb") as file:
            if kind.name == "TIFF":
                writers.write_tiff(file, samples, picture.metadata)
            elif bits == 16:
                writers.write_png16(file, samples, picture.metadata)
            else:
                options = picture.metadata.save_options(kind.name, picture.size) | dict(
                    kind.options
                )
                Image.fromarray(samples).save(file, kind.name, **options)
    except FileExistsError as error:
        raise ImageError(
            f"{path} exists; pass --overwrite (overwrite=True) to replace it."
        ) from error
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise ImageError(f"{path} cannot be written: {error}") from error


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
    """Upright samples [H, W, C], bits per sample, and what else the file says."""
    frames = getattr(opened, "n_frames", 1)
    # An MPO is a camera's JPEG whose further pictures are previews or depth of the first.
    if frames > 1 and opened.format != "MPO":
        raise ImageError(
            f"{path} holds {frames} frames or pages; one is expected. Split it into single images."
        )
    bits = sixteen_bit.bits_per_sample(opened, data)
    if bits == 16:
        samples, profile = sixteen_bit.decode(opened, data, path), None
    else:
        plain, profile = _plain(opened, path)
        samples = np.asarray(plain)
    metadata, orientation = Metadata.read(opened, data)
    if profile is not None:
        metadata = replace(metadata, icc=profile)
    return upright(samples.reshape(*samples.shape[:2], -1), orientation), bits, metadata


def _picture(samples: np.ndarray, bits: int, metadata: Metadata) -> Picture:
    channels = 3 if samples.shape[2] > 2 else 1
    grey = channels == 1 or all(np.array_equal(samples[..., 0], samples[..., c]) for c in (1, 2))
    return Picture(
        pixels=_planes(samples, (0,) * 3 if channels == 1 else (0, 1, 2)),
        alpha=_planes(samples, (channels,)) if samples.shape[2] > channels else None,
        bits=bits,
        channels=channels,
        grey=grey,
        metadata=metadata,
    )


def _plain(image: Image.Image, path: Path) -> tuple[Image.Image, bytes | None]:
    """Decode to mode L, LA, RGB or RGBA, and the profile of the result where it changes."""
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
        return _from_ink(image, path), b""
    if image.mode in ("P", "YCbCr", "CMYK"):
        return image.convert("RGB"), None
    raise ImageError(
        f"{path} holds samples of mode {image.mode!r}; grey and RGB in 8 bits, or PNG and TIFF in "
        "16, are read. Convert it first."
    )


def _from_ink(image: Image.Image, path: Path) -> Image.Image:
    """CMYK through its own profile to sRGB."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    try:
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise ImageError(f"{path} holds CMYK whose profile cannot be used: {error}") from error
    assert converted is not None  # only in-place conversion gives None
    return converted


def _planes(samples: np.ndarray, columns: tuple[int, ...]) -> torch.Tensor:
    """[H, W, C] integers to [1, len(columns), H, W] floats, one plane at a time to save memory."""
    planes = torch.empty(1, len(columns), *samples.shape[:2], dtype=torch.float32, device="cpu")
    for i, column in enumerate(columns):
        planes[0, i] = torch.from_numpy(samples[..., column].astype(np.float32))
    return planes.div_(np.iinfo(samples.dtype).max)


def _samples(picture: Picture, alpha: torch.Tensor | None, bits: int) -> np.ndarray:
    """Round to [H, W] or [H, W, C] integers."""
    planes = list(picture.pixels[0, : picture.channels])
    if alpha is not None:
        planes.append(alpha[0, 0])
    width, height = picture.size
    samples = np.empty((height, width, len(planes)), np.uint8 if bits == 8 else np.uint16)
    for i, plane in enumerate(planes):
        levels = plane.detach().float().clamp(0, 1).mul_(2**bits - 1).round_()
        samples[..., i] = levels.cpu().numpy()
    return samples[..., 0] if len(planes) == 1 else samples
