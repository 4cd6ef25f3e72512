"""How much of the photograph's fine detail a pasted face keeps: all if clean, none if noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import warp

if TYPE_CHECKING:
    import torch

    from .placement import Placement

CLEAN_NOISE, NOISY_NOISE = 2 / 255, 8 / 255
"""Noise σ up to which all of the fine detail is kept, and from which none is."""

FULL_EXCESS_SCALE = 1.25
"""Photograph pixels per crop pixel from which the band that the crop cannot hold counts in full."""

NOISE_WINDOW = 1024
"""Side in photograph pixels of the window in the middle of a face where noise is measured."""


def detail_weight(background: torch.Tensor, placement: Placement) -> float:
    """Choose the weight of the fine detail under "auto", 0 … 1.

    Args:
        background: [1, 3, H', W'] the image that the face is pasted into.
        placement: where the face lies in it.
    """
    excess_scale = (warp.shrink_factor(placement.to_target) - 1) / (FULL_EXCESS_SCALE - 1)
    if excess_scale <= 0:
        return 0.0
    middle = warp.cut_rectangle(background, _middle(placement.rectangle, placement.scale))
    middle = middle.to(placement.device, warp.working_dtype(background))
    # Enlarging spreads noise over more pixels: measure it at the photograph's own density.
    width, height = (
        round(n / s) for n, s in zip(middle.shape[:1:-1], placement.scale, strict=True)
    )
    noise = noise_level(warp.resize(middle, max(2, height), max(2, width)))
    clean = (NOISY_NOISE - noise) / (NOISY_NOISE - CLEAN_NOISE)
    return min(1.0, excess_scale) * min(1.0, max(0.0, clean))


def _middle(rectangle: warp.Rectangle, scale: tuple[float, float]) -> warp.Rectangle:
    """The window where noise is measured. Noise is the same all over a face, so a part will do."""
    left, top, right, bottom = rectangle
    x, y = (
        max(0, int(side - NOISE_WINDOW * s) // 2)
        for side, s in zip((rectangle.width, rectangle.height), scale, strict=True)
    )
    return warp.Rectangle(left + x, top + y, right - x, bottom - y)


def noise_level(pixels: torch.Tensor) -> float:
    """Estimate the σ of white noise in [1, 3, h, w] from the median of its diagonal differences.

    After Donoho & Johnstone 1994: noise touches every difference, edges and texture only a few.
    """
    diagonal = (
        pixels[..., :-1, :-1] - pixels[..., 1:, :-1] - pixels[..., :-1, 1:] + pixels[..., 1:, 1:]
    ) / 2
    if not diagonal.numel():
        return 0.0
    return float(diagonal.detach().abs().flatten().median()) / 0.6745
