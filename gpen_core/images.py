"""Check that a tensor is an image as gpen_core means it: RGB, floating point, in [0, 1]."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .errors import MismatchError

if TYPE_CHECKING:
    import torch


LOWEST, HIGHEST = -0.5, 2.0
"""Values beyond these are no overshoot: the image has another range than [0, 1]."""


def check_image(image: torch.Tensor, name: str = "image") -> None:
    """Raise MismatchError unless `image` is RGB floating point [B, 3, H, W] in [0, 1].

    This reads every pixel (`check_range`), so each verb does it once, at its door.
    """
    check_shape(image, name)
    check_range(image, name)


def check_shape(image: torch.Tensor, name: str = "image", channels: int = 3) -> None:
    """Raise MismatchError unless `image` is floating point [B, channels, H, W]."""
    if image.ndim != 4 or image.shape[1] != channels or 0 in image.shape[2:]:
        raise MismatchError(
            f"{name} must be [B, {channels}, H, W] with H and W at least 1, "
            f"found {list(image.shape)}."
        )
    if not image.is_floating_point():
        raise MismatchError(f"{name} must be floating point in [0, 1], found {image.dtype}.")


def check_mask(mask: torch.Tensor, image: torch.Tensor, name: str) -> None:
    """Raise MismatchError unless `mask` is floating point [B or 1, 1, H, W] for `image`."""
    check_shape(mask, name, channels=1)
    count, _, height, width = image.shape
    if mask.shape[0] not in (1, count) or tuple(mask.shape[2:]) != (height, width):
        raise MismatchError(
            f"{name} must be a mask of {width}×{height} like the image, one for each of {count} "
            f"or one for all; found {mask.shape[0]} of {mask.shape[3]}×{mask.shape[2]}."
        )


def format_batch(size: tuple[int, ...]) -> str:
    """Write the size (B, H, W) of a batch in words, with the width first: "2 images of 640×480"."""
    count, height, width = size
    return f"{count} image{'' if count == 1 else 's'} of {width}×{height}"


def check_range(pixels: torch.Tensor, name: str) -> None:
    """Raise MismatchError if values plainly have another range than [0, 1].

    Upscalers and VAEs overshoot a little; that is left to be clamped. So are infinite values, the
    mark of an overflow. Pixels on a GPU are not looked at: the CPU would have to wait for it.
    """
    if pixels.device.type != "cpu" or not pixels.numel():
        return
    low, high = (float(value) for value in pixels.detach().aminmax())
    if (LOWEST <= low and high <= HIGHEST) or not math.isfinite(high - low):
        return
    mend = "Divide 8-bit values by 255" if high > HIGHEST else "Map [-1, 1] by x / 2 + 0.5"
    raise MismatchError(f"{name} must lie in [0, 1], found {low:.3g} … {high:.3g}. {mend}.")
