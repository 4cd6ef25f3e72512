"""The weight of each target pixel's crop: a feathered rounded square, and the user's mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .. import warp

if TYPE_CHECKING:
    from .placement import Placement

CORNER_RADIUS = 0.4
"""Corner radius of the rounded square, in crop sides: it keeps hair and chin, drops the corners."""


def crop_mask(
    placement: Placement, band: warp.Rectangle, feather: float, like: torch.Tensor
) -> torch.Tensor:
    """Compute weights [1, h, w] of the crop in `band`, in the dtype and on the device of `like`.

    They are 0 at and beyond the crop's border and reach 1 at `feather` crop sides inside it. The
    mask is computed from each pixel's place in the crop, not resampled, so that it ends in 0 with
    slope 0 at any scale.
    """
    matrix = (placement.to_pixels(band) / placement.pixels_size).tolist()
    x = torch.arange(band.width, device=like.device, dtype=like.dtype) + 0.5
    y = torch.arange(band.height, device=like.device, dtype=like.dtype)[:, None] + 0.5
    # Distances past the straight part of the rounded square's sides, in crop sides.
    past_x, past_y = (
        ((a * x + b * y + c) - 0.5).abs() - (0.5 - CORNER_RADIUS) for a, b, c in matrix
    )
    outside = torch.hypot(past_x.clamp(min=0), past_y.clamp(min=0))
    inside = torch.maximum(past_x, past_y).clamp(max=0)
    depth = ((CORNER_RADIUS - outside - inside) / feather).clamp(0, 1)
    return (depth * depth * (3 - 2 * depth))[None]


def limit_patch(limit: torch.Tensor, placement: Placement, band: warp.Rectangle) -> torch.Tensor:
    """Cut the user's mask `limit` [B or 1, 1, H, W] at `band`; gives [1, h, w] in [0, 1]."""
    mask = limit[placement.image % limit.shape[0]][None]
    if placement.scale == (1, 1):
        return warp.cut_rectangle(mask, band)[0].to(placement.device).clamp(0, 1)
    x, y = placement.scale
    to_limit = warp.compose(warp.scaling(1 / x, 1 / y), warp.translation(*band.origin))
    around = warp.bounding_rectangle(to_limit, band.width, band.height)
    local = warp.compose(warp.translation(-around.left, -around.top), to_limit)
    part = warp.cut_rectangle(mask, around).to(placement.device, warp.working_dtype(mask))
    return warp.resample(part.clamp(0, 1), local, band.height, band.width)[0].clamp(0, 1)
