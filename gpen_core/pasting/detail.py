"""How much of the photograph's own fine detail a pasted face keeps, pixel by pixel.

A crop cannot hold all detail of the face that it was cut from: a large face has finer detail, and
a small one loses a little where it is enlarged and reduced again. The *band* is what is lost: the
photograph minus what its crop gives when it is put back. Under "auto", the band is added back in
proportion to two weights. One tells detail from noise by the band's local energy (a local Wiener
filter, Lee 1980). The other tells whether the network kept the detail that the crop does hold:
where it removed an edge, the finer part of this edge would remain as a ghost. A face that is no
larger than its crop gets its band back only if the network hardly changed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .. import warp

if TYPE_CHECKING:
    from .placement import Placement

WINDOW, WINDOWS_A_CROP = 15, 10
"""Side in photograph pixels of the boxes in which energies are averaged. Small faces have smaller
ones, so that their crop is at least this many boxes wide."""

FINE = 5
"""Side in photograph pixels, or crop pixels if they are larger, of the boxes whose mean is taken
away to see the finest detail that a crop holds."""

NOISE_SHARE, NOISE_GAIN = 0.1, 1.5
"""The noise is this quantile of the band's energies. So many times the noise counts as noise."""

FULLY_KEPT = 0.7
"""Share of the fine detail from which a network counts as keeping it: all soften a little."""

ROUNDING = 2 / 255**2
"""Energy that is no noise yet: photographs have some of it by rounding, good ones some grain."""

SMALL_CHANGE, LARGE_CHANGE = 2 / 255, 8 / 255
"""Root mean square of the network's change: up to the first the face was clean, from the second
damaged. The built-in model changes a clean portrait by 6.6 levels, a damaged one by 10."""

FINER = 1.25
"""Photograph pixels per crop pixel from which the band holds detail that no crop can hold."""

NOISE_WINDOW = 1024
"""Side in photograph pixels of the window in the middle of a face where noise is measured."""


def find_agreement(content: torch.Tensor, pixels: torch.Tensor, density: float) -> torch.Tensor:
    """Measure how much of the content's fine detail a restored crop has kept.

    Args:
        content: [1, 3, S, S] the crop before it was restored.
        pixels: [1, 3, S, S] the crop after.
        density: crop pixels per photograph pixel.

    Returns:
        [1, 1, S, S]: 1 where the detail is kept or there is none, 0 where it is gone.
    """
    size = content.shape[-1]
    if density > 1:  # the finest detail of an enlarged face is coarser than the crop's pixels
        side = max(WINDOW, round(size / density))
        content, pixels = (warp.resize(crop, side, side) for crop in (content, pixels))
    before, after = (crop - box_mean(crop, FINE) for crop in (content, pixels))
    common = box_mean((before * after).mean(dim=1, keepdim=True), WINDOW)
    energy = box_mean(before.square().mean(dim=1, keepdim=True), WINDOW)
    kept = ((common + ROUNDING) / (energy + ROUNDING) / FULLY_KEPT).clamp(0, 1)
    if kept.shape[-1] != size:
        kept = F.interpolate(kept, size=(size, size), mode="bilinear", align_corners=False)
    return kept


def find_noise(band: torch.Tensor, window: int) -> torch.Tensor:
    """Measure the energy of the noise in a band [1, 3, h, w] of the middle of a face.

    The result is a scalar on the band's device, so that nobody waits for it.

    Args:
        band: the band in the target's pixels.
        window: side of the boxes in which energies are averaged, in the target's pixels.
    """
    energy = local_energy(band, window)
    # A sample will do, and sorting millions of values takes long.
    step = max(1, round((energy.numel() / 65_536) ** 0.5))
    sample = energy[..., ::step, ::step].flatten()
    return (torch.quantile(sample, NOISE_SHARE) - ROUNDING).clamp(min=0)


def trust_band(content: torch.Tensor, pixels: torch.Tensor, density: float) -> float:
    """Choose a factor of the band, 0 … 1: 1 for a large face, and for one that hardly changed.

    Where the crop is as fine as the photograph, the network has seen all detail. If it changed
    much, the face was damaged, and the band would only bring damage back.

    Args:
        content: [1, 3, S, S] the crop before it was restored.
        pixels: [1, 3, S, S] the crop after.
        density: crop pixels per photograph pixel.
    """
    finer = min(1.0, max(0.0, (1 / density - 1) / (FINER - 1)))
    if finer == 1:
        return 1.0
    change = float((pixels - content).square().mean().sqrt())
    little = (LARGE_CHANGE - change) / (LARGE_CHANGE - SMALL_CHANGE)
    return finer + (1 - finer) * min(1.0, max(0.0, little))


def detail_share(band: torch.Tensor, noise: torch.Tensor, window: int) -> torch.Tensor:
    """Compute the share of the band [1, 3, h, w] that is no noise: [1, 1, h, w] in [0, 1]."""
    return (1 - NOISE_GAIN * noise / local_energy(band, window).clamp(min=1e-12)).clamp(min=0)


def local_energy(band: torch.Tensor, window: int) -> torch.Tensor:
    """Average the squares of [1, 3, h, w] over all channels and boxes of side `window`."""
    return box_mean(band.square().mean(dim=1, keepdim=True), window)


def choose_window(placement: Placement) -> int:
    """Choose the side of the boxes in which energies are averaged, in the target's pixels."""
    scale = max(placement.scale)
    crop = warp.shrink_factor(placement.to_target) * placement.crop_size
    return max(3, round(min(WINDOW * scale, crop / WINDOWS_A_CROP)))


def box_mean(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Average [N, C, h, w] over boxes of an odd side, fewer pixels at the border."""
    reach = side // 2
    for kernel, padding in (((1, 2 * reach + 1), (0, reach)), ((2 * reach + 1, 1), (reach, 0))):
        pixels = F.avg_pool2d(pixels, kernel, 1, padding, count_include_pad=False)
    return pixels


def find_middle(placement: Placement) -> warp.Rectangle:
    """Find the window where noise is measured. A part will do: it is the same all over a face."""
    left, top, right, bottom = placement.rectangle
    width, height = right - left, bottom - top
    x, y = (
        max(0, int(side - NOISE_WINDOW * s), side // 4) // 2
        for side, s in zip((width, height), placement.scale, strict=True)
    )
    return warp.Rectangle(left + x, top + y, right - x, bottom - y)
