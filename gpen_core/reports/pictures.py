"""Pictures of one face: before, after, and where the network painted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .. import warp
from ..sharpen import luma
from ..spectra import LEAST, low_pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..preview.drawing import Colour

SHOWN = (240, 480)
"""The longer side of a picture in pixels, at least and at most."""

MADE_UP: Colour = (1.0, 0.45, 0.0)
"""Orange: detail that the photograph does not hold."""

CHANGED: Colour = (0.1, 0.45, 1.0)
"""Blue: shapes and tones that the photograph holds, and that came out otherwise."""

FULL = 12.0
"""Change in levels of 255 from which a place has its full colour."""

PALE = 0.75
"""Opacity of the full colour."""


def show_area(pixels: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bring part of a picture to the size at which reports show it.

    Small faces are enlarged by repeating pixels, so that the reader sees the pixels themselves.

    Args:
        pixels: [1, 3, h, w] RGB in [0, 1].
        size: height and width of the same part of the result.

    Returns:
        [3, H, W] RGB in [0, 1].
    """
    height, width = (max(1, side) for side in size)
    longer = max(height, width)
    if longer > SHOWN[1]:
        height, width = (max(1, round(side * SHOWN[1] / longer)) for side in (height, width))
    elif longer < SHOWN[0]:
        times = -(-SHOWN[0] // longer)
        height, width = times * height, times * width
    if pixels.shape[2] <= height:
        return F.interpolate(pixels, (height, width), mode="nearest-exact")[0]
    return warp.resize(pixels, height, width)[0].clamp(0, 1)


def draw_where(
    photograph: torch.Tensor, after: torch.Tensor, finest: float, noise: float
) -> torch.Tensor:
    """Colour the restored face where it shows something that the photograph does not.

    Args:
        photograph: [1, 3, h, w] RGB in [0, 1].
        after: [1, 3, H, W] the same part of the result.
        finest: length in result pixels of the finest waves that the photograph holds.
        noise: standard deviation of the photograph's noise, in levels of 255.

    Returns:
        [1, 3, H, W] RGB in [0, 1]: grey, with orange and blue.
    """
    height, width = after.shape[2:]
    before = warp.resize(photograph, height, width)
    waves = (height / finest, width / finest)
    lights = [255 * luma(pixels) for pixels in (after, before)]
    coarse, held = (low_pass(light, waves) for light in lights)
    fine, lost = (light - part for light, part in zip(lights, (coarse, held), strict=True))
    gain = float((fine * lost).mean() / lost.square().mean().clamp(min=LEAST))
    side = 2 * round(max(height, width) / 80) + 1
    below = min(1.0, math.pi / finest**2)  # share of white noise that is coarser than the cut-off
    made_up, changed = (
        (_average(part.square(), side) - floor).clamp(min=0).sqrt()
        for part, floor in (
            (fine - max(0.0, gain) * lost, LEAST),
            (coarse - held, below * noise**2),
        )
    )
    canvas = luma(after).expand(-1, 3, -1, -1)
    for strength, colour in ((changed, CHANGED), (made_up, MADE_UP)):
        tint = torch.tensor(colour)[:, None, None] * (0.25 + 0.75 * luma(after))
        canvas = canvas.lerp(tint, PALE * (strength / FULL).clamp(max=1))
    return canvas.clamp(0, 1)


def _average(values: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
