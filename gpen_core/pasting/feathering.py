"""Soft edges for masks that are drawn in a crop's frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np

INSIDE = 0.5
"""A pixel is inside a mask from this part of the mask's largest value on."""


def feather_drawn(mask: torch.Tensor, width: float) -> torch.Tensor:
    """Give a mask a soft edge that lies inside it.

    Weights are 0 at the edge and reach the mask's own values at `width` inside it. Where the mask
    is thinner, the slope is as wide as half the mask, so that lips or brows alone remain. The
    border of the crop is no edge here; the shape that multiplies the mask ends there.

    Args:
        mask: [1, 1, s, s] in [0, 1].
        width: of the slope, in crop sides.

    Returns:
        [1, 1, s, s] float32 on the mask's device, at most the mask.
    """
    inside = mask >= INSIDE * mask.max().clamp(min=1 / 255)
    if inside.all():
        return mask.float()
    pixels = inside[0, 0].to("cpu", torch.uint8).numpy()
    slope = torch.from_numpy(_slope(pixels, width * mask.shape[-1])).to(mask.device)
    return mask.float() * (slope * slope * (3 - 2 * slope))


def _slope(inside: np.ndarray, width: float) -> np.ndarray:
    """Compute a ramp [s, s] float32 from 0 at the edge of `inside` to 1 at `width` pixels."""
    import cv2
    import numpy as np

    # Distances are those of pixel centres; the edge lies half a pixel before the centre outside.
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    reach = math.ceil(width)
    around = cv2.dilate(depth, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return np.clip(depth / np.clip(around, 0.5, max(width, 0.5)), 0, 1)
