"""How much detail finer than a crop a face keeps: all where it is clean, none where it is noise."""

from __future__ import annotations

import torch

from .. import warp

CLEAN_NOISE, NOISY_NOISE = 2 / 255, 8 / 255
"""σ up to which the photograph's fine detail is taken whole, and from which none of it is."""

OWN_SIZE = 1.25
"""Photograph pixels per crop pixel from which the band beyond the crop counts in full."""

NOISE_WINDOW = 1024
"""Side in photograph pixels of the middle of a face in which its noise is measured."""


def detail_share(
    own: torch.Tensor,
    rectangle: warp.Rectangle,
    scale: tuple[float, float],
    to_base: torch.Tensor,
    device: torch.device,
) -> float:
    """How much of the band beyond the crop to keep under "auto", 0 … 1.

    Args:
        own: [1, 3, H, W] the image pasted into.
        rectangle: where in it the face lies.
        scale: (x, y) by which it is larger than the photograph.
        to_base: [2, 3] maps points of the crop as it was cut to points of `own`.
        device: where to compute.
    """
    beyond = (warp.shrink_factor(to_base) - 1) / (OWN_SIZE - 1)
    if beyond <= 0:
        return 0.0
    middle = warp.cut_rectangle(own, _middle(rectangle, scale))
    middle = middle.to(device, warp.working_dtype(own))
    # An enlarged background spreads its noise: measure it at the photograph's own density.
    width, height = (round(n / s) for n, s in zip(middle.shape[:1:-1], scale, strict=True))
    noise = noise_level(warp.resize(middle, max(2, height), max(2, width)))
    clean = (NOISY_NOISE - noise) / (NOISY_NOISE - CLEAN_NOISE)
    return min(1.0, beyond) * min(1.0, max(0.0, clean))


def _middle(rectangle: warp.Rectangle, scale: tuple[float, float]) -> warp.Rectangle:
    """The part of a rectangle in which noise is measured; it is the same all over a face."""
    left, top, right, bottom = rectangle
    x, y = (max(0, int(n - NOISE_WINDOW * s) // 2)
            for n, s in zip((rectangle.width, rectangle.height), scale, strict=True))  # fmt: skip
    return warp.Rectangle(left + x, top + y, right - x, bottom - y)


def noise_level(pixels: torch.Tensor) -> float:
    """σ of white noise in [1, 3, h, w], from the median of its diagonal differences.

    After Donoho & Johnstone 1994: edges and texture touch few of them, noise touches all.
    """
    diagonal = (
        pixels[..., :-1, :-1] - pixels[..., 1:, :-1] - pixels[..., :-1, 1:] + pixels[..., 1:, 1:]
    ) / 2
    if not diagonal.numel():
        return 0.0
    return float(diagonal.detach().abs().flatten().median()) / 0.6745
