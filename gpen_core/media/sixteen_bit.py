"""Decode PNG and TIFF with 16 bits per sample. Pillow reads 16-bit colours as 8 bits only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

_BIT_DEPTH_AT, _COLOUR_TYPE_AT = 24, 25  # offsets in every PNG
_GREY, _GREY_ALPHA = 0, 4
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC, _TIFF_EXTRA, _TIFF_SAMPLE_FORMAT = 258, 262, 338, 339
_TIFF_SAMPLES, _TIFF_PLANES = 277, 284
_TIFF_UNSIGNED, _TIFF_WHITE_IS_ZERO, _TIFF_PREMULTIPLIED, _TIFF_STRAIGHT = 1, 0, 1, 2
_TIFF_PLANAR = 2


def find_bit_depth(image: Image.Image, data: bytes) -> int:
    """Return 16 for a PNG or TIFF with unsigned 16-bit samples, else 8."""
    if image.format == "PNG":
        return 16 if data[_BIT_DEPTH_AT] == 16 else 8
    if image.format != "TIFF":
        return 8
    tags = _get_tags(image)
    bits = set(tags.get(_TIFF_BITS_PER_SAMPLE, (1,)))
    kinds = set(tags.get(_TIFF_SAMPLE_FORMAT, (_TIFF_UNSIGNED,)))
    return 16 if bits == {16} and kinds == {_TIFF_UNSIGNED} else 8


def decode(image: Image.Image, data: bytes, path: Path) -> np.ndarray:
    """Decode to uint16 [H, W], or to [H, W, C] with channels grey + alpha, RGB or RGBA.

    Raises:
        ImageError: OpenCV cannot decode the data, or the samples are neither grey nor RGB.
    """
    import cv2

    if image.format == "TIFF" and _is_planar(_get_tags(image)):
        raise ImageError(
            f"{path} is a 16-bit TIFF that stores one channel after the other (planar, per "
            "channel). We cannot read that. Save it interleaved."
        )
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise ImageError(f"{path} is damaged, or OpenCV cannot decode its 16-bit {image.format}.")
    if samples.dtype != np.uint16 or image.mode == "CMYK":
        raise ImageError(
            f"{path} holds 16-bit samples of mode {image.mode!r}; expected grey or RGB. "
            "Convert it first."
        )
    if samples.ndim == 3:
        samples = samples[..., (2, 1, 0, *range(3, samples.shape[2]))]
    if image.format == "TIFF":
        return _apply_tags(samples, _get_tags(image))
    colour_type = data[_COLOUR_TYPE_AT]
    if colour_type == _GREY_ALPHA:
        return samples[..., (0, 3)]
    clear = image.info.get("transparency")
    if colour_type == _GREY and isinstance(clear, int):
        return np.stack([samples, np.where(samples == clear, 0, 65535).astype(np.uint16)], axis=-1)
    return samples


def _get_tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2")  # noqa: B009  only TIFF images have it


def _is_planar(tags: Any) -> bool:
    """Tell whether the file stores one channel after the other. OpenCV reads that as grey."""
    return tags.get(_TIFF_PLANES, 1) == _TIFF_PLANAR and tags.get(_TIFF_SAMPLES, 1) > 1


def _apply_tags(samples: np.ndarray, tags: Any) -> np.ndarray:
    """Make 0 black and alpha straight, as a TIFF's tags require. OpenCV ignores these tags."""
    if tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        return 65535 - samples
    extra = tags.get(_TIFF_EXTRA, ())
    if samples.ndim == 3 and extra and not {_TIFF_PREMULTIPLIED, _TIFF_STRAIGHT} & set(extra):
        # An extra channel of another kind, such as a saved selection, is not transparency.
        return samples[..., : 3 if samples.shape[2] > 3 else 1]
    if samples.ndim == 3 and _TIFF_PREMULTIPLIED in extra:
        colours, alpha = samples[..., :-1].astype(np.float64), samples[..., -1:]
        straight = (colours * (65535 / np.maximum(alpha, 1))).round().clip(0, 65535)
        return np.concatenate([straight.astype(np.uint16), alpha], axis=-1)
    return samples
