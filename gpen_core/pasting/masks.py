"""How much of each pixel of a photograph comes from a crop."""

from __future__ import annotations

import torch

from .. import warp

CORNER_RADIUS = 0.4
"""Of the rounded square that a crop covers, in crop sides: hair and chin in, corners out."""


def crop_mask(
    to_crop: torch.Tensor,
    rectangle: warp.Rectangle,
    size: int,
    feather: float,
    like: torch.Tensor,
) -> torch.Tensor:
    """[1, h, w] weights: 0 at and beyond the crop's border, 1 from `feather` inside it.

    The mask is computed from each pixel's place in the crop, not resampled, so that it ends in 0
    with slope 0 at any scale.
    """
    matrix = (to_crop / size).tolist()
    x = torch.arange(rectangle.width, device=like.device, dtype=like.dtype) + 0.5
    y = torch.arange(rectangle.height, device=like.device, dtype=like.dtype)[:, None] + 0.5
    beyond = [
        ((a * x + b * y + c) - 0.5).abs() - (0.5 - CORNER_RADIUS) for a, b, c in matrix
    ]  # distances past the straight part of the rounded square's sides, in crop sides
    outside = torch.hypot(beyond[0].clamp(min=0), beyond[1].clamp(min=0))
    inside = torch.maximum(beyond[0], beyond[1]).clamp(max=0)
    depth = ((CORNER_RADIUS - outside - inside) / feather).clamp(0, 1)
    return (depth * depth * (3 - 2 * depth))[None]


def limit_patch(
    limit: torch.Tensor,
    index: int,
    rectangle: warp.Rectangle,
    scale: tuple[float, float],
    device: torch.device,
) -> torch.Tensor:
    """[1, h, w] of the limiting mask at the rectangle."""
    own = limit[index % limit.shape[0]][None]
    if scale == (1, 1):
        return warp.cut_rectangle(own, rectangle)[0].to(device).clamp(0, 1)
    to_limit = warp.compose(
        warp.scaling(1 / scale[0], 1 / scale[1]), warp.translation(*rectangle.origin)
    )
    around = warp.bounding_rectangle(to_limit, rectangle.width, rectangle.height)
    local = warp.compose(warp.translation(-around.left, -around.top), to_limit)
    part = warp.cut_rectangle(own, around).to(device, warp.working_dtype(own)).clamp(0, 1)
    return warp.resample(part, local, rectangle.height, rectangle.width)[0].clamp(0, 1)
