"""Enlarge whole images: what restored faces are pasted into when the result shall be larger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..gpen_core.warp import resize
from . import host

if TYPE_CHECKING:
    from ..gpen_core.progress import OnProgress


def enlarge(
    pixels: torch.Tensor, scale: float, upscale_model: Any, on_progress: OnProgress
) -> torch.Tensor:
    """Enlarge images one by one.

    Args:
        pixels: [B, 3, H, W] RGB in [0, 1].
        scale: the factor, 1 or more.
        upscale_model: from ComfyUI's Load Upscale Model. Where its own factor differs, its result
            is resized. None: bicubic interpolation.
        on_progress: told of every image.

    Returns:
        [B, 3, round(scale·H), round(scale·W)].
    """
    height, width = (round(scale * side) for side in pixels.shape[-2:])
    result = pixels.new_empty(len(pixels), 3, height, width)
    for number, image in enumerate(pixels):
        larger = image[None] if upscale_model is None else host.upscale(upscale_model, image[None])
        if tuple(larger.shape[-2:]) != (height, width):
            larger = resize(larger, height, width)
        result[number] = larger[0].clamp(0, 1)
        on_progress(number + 1, len(pixels))
    return result
