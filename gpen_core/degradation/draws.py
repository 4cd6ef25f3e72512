"""The random numbers of a degradation, all from one seed and the same on every device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from .resample import FILTERS

if TYPE_CHECKING:
    from .presets import Degradation

PER_ROUND = 13  # uniform numbers that a round uses


def generator(seed: int) -> torch.Generator:
    """A CPU generator that heeds all bits of `seed`; torch's own looks at the lowest 32 alone."""
    folded = (seed + (seed >> 32) * 0x9E3779B1) % 2**32  # Knuth's multiplicative hash
    return torch.Generator().manual_seed(folded)


class Draws(NamedTuple):
    """What happens to each image in one round; [B] each, on the CPU.

    Attributes:
        sigmas: [B, 2], blur along and across, px of a 256 px face.
        angles: of the blur, radians.
        moving: motion blur instead of a Gaussian.
        scales: shrink factors.
        noise: σ, levels of 255.
        gray: the same noise in R, G and B.
        quality: of the JPEG, whole numbers.
        filters: indices into `resample.FILTERS`.
        shot: noise that grows with brightness.
        noise_seeds: int64.
        cutoffs: of the ringing filter, radians per px; NaN for none.
    """

    sigmas: torch.Tensor
    angles: torch.Tensor
    moving: torch.Tensor
    scales: torch.Tensor
    noise: torch.Tensor
    gray: torch.Tensor
    quality: torch.Tensor
    filters: torch.Tensor
    shot: torch.Tensor
    noise_seeds: torch.Tensor
    cutoffs: torch.Tensor

    def of(self, images: torch.Tensor) -> Draws:
        """The draws of some images, given by index or mask [B]."""
        return Draws(*(values[images] for values in self))


def draw_round(uniform: torch.Tensor, ranges: Degradation) -> Draws:
    """Turn uniform numbers [B, PER_ROUND] in [0, 1) into draws from the ranges.

    The columns' order is fixed: models are compared on what the evaluation's seeds draw.
    """
    columns = uniform.unbind(dim=1)
    names = [list(FILTERS).index(name) for name in ranges.filters]
    least, most = ranges.scale
    ringing = columns[11] < ranges.ringing
    cutoffs = _between(columns[12], (math.pi / 3, math.pi))
    return Draws(
        sigmas=_between(uniform[:, :2], ranges.blur_sigma),
        angles=math.pi * columns[2],
        moving=columns[3] < ranges.motion,
        scales=least * (most / least) ** columns[4],
        noise=_between(columns[5], ranges.noise_sigma),
        gray=columns[6] < ranges.gray_noise,
        quality=_between(columns[7], ranges.jpeg_quality).round(),
        filters=torch.tensor(names, device="cpu")[(columns[8] * len(names)).long()],
        shot=columns[9] < ranges.shot_noise,
        noise_seeds=(columns[10] * 2**24).long(),
        cutoffs=torch.where(ringing, cutoffs, math.nan),
    )


def choose(first: torch.Tensor, one: Draws, other: Draws) -> Draws:
    """Draws of `one` where `first` [B] is true, else of `other`."""
    mixed = other.of(torch.arange(len(first), device="cpu"))  # a copy
    for target, values in zip(mixed, one, strict=True):
        target[first] = values[first]
    return mixed


def _between(uniform: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    return ends[0] + (ends[1] - ends[0]) * uniform
