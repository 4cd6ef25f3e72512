"""The random numbers of a degradation: all from one seed, and the same on every device."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .presets import NOISY, TRACES, Degradation
from .resample import FILTERS

NUMBERS_PER_PASS = 13
"""Uniform numbers that an image needs for one pass."""

TONE_SEED = 0x5E91A
"""Is added to a seed for the draws of grey and sepia."""


class Draws(NamedTuple):
    """The parameters of one pass, drawn for each image: [B] each, on the CPU.

    Attributes:
        sigmas: [B, 2], blur along and across its angle, px of a 256 px face.
        angles: angle of the blur, radians.
        moving: bool; motion blur instead of a Gaussian.
        scales: factor the image is shrunk by.
        noise: σ, levels of 255.
        gray: bool; the same noise in R, G and B.
        quality: quality of the JPEG, a whole number.
        filters: index into `resample.FILTERS`.
        shot: bool; noise that grows with brightness.
        noise_seeds: int64.
        cutoffs: cutoff of the ringing filter, radians per px; NaN for none.
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

    def select(self, images: torch.Tensor) -> Draws:
        """Return the draws of some images, given by index or mask [B]."""
        return Draws(*(values[images] for values in self))


def seed_generator(seed: int) -> torch.Generator:
    """Return a CPU generator that depends on all bits of `seed`; torch's takes the lowest 32."""
    folded = (seed + (seed >> 32) * 0x9E3779B1) % 2**32  # Knuth's multiplicative hash
    return torch.Generator().manual_seed(folded)


def draw_passes(
    degradation: Degradation, *, seed: int, first: int, count: int
) -> tuple[list[Draws], torch.Tensor]:
    """Draw the passes of `count` images of a batch, from number `first` on.

    Returns:
        The draws of each pass, and how many passes each image goes through, [count] int64 on the
        CPU; 0 leaves an image clean.
    """
    uniform = torch.rand(
        first + count,
        2 * NUMBERS_PER_PASS + 3,
        generator=seed_generator(seed),
        dtype=torch.float32,
        device="cpu",
    )[first:]
    sizes = [NUMBERS_PER_PASS, NUMBERS_PER_PASS, 3]
    first_pass, second_pass, kind = uniform.double().split(sizes, dim=1)
    mild = kind[:, 1] < degradation.mild
    noisy = ~mild & (kind[:, 1] < degradation.mild + degradation.noisy)
    twice = (kind[:, 0] < degradation.twice) & ~mild & ~noisy
    clean = kind[:, 2] < degradation.clean
    traces, grain = (preset.weakened(degradation.strength) for preset in (TRACES, NOISY))
    draws = choose(mild, draw_pass(first_pass, traces), draw_pass(first_pass, degradation))
    passes = [choose(noisy, draw_pass(first_pass, grain), draws)]
    if degradation.second is not None:
        passes.append(draw_pass(second_pass, degradation.second))
    return passes, torch.where(clean, 0, torch.where(twice, 2, 1))


def draw_tones(
    degradation: Degradation, *, seed: int, first: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw which of `count` images become grey or sepia, and how brown a sepia is.

    These numbers have a generator of their own, so that all other draws of a seed stay.

    Returns:
        [count] bool, whether an image loses its colour; [count, 3] float64, the exponents of R, G
        and B that turn its luma into its tone, 1 for grey.
    """
    uniform = torch.rand(
        first + count,
        3,
        generator=seed_generator(seed + TONE_SEED),
        dtype=torch.float32,
        device="cpu",
    )[first:].double()
    grey = uniform[:, 0] < degradation.grey
    sepia = ~grey & (uniform[:, 0] < degradation.grey + degradation.sepia)
    exponents = torch.ones(count, 3, dtype=torch.float64, device="cpu")
    exponents[:, 0] -= torch.where(sepia, _spread(uniform[:, 1], (0.1, 0.3)), 0)
    exponents[:, 2] += torch.where(sepia, _spread(uniform[:, 2], (0.2, 0.6)), 0)
    return grey | sepia, exponents


def draw_pass(uniform: torch.Tensor, ranges: Degradation) -> Draws:
    """Turn uniform numbers [B, NUMBERS_PER_PASS] in [0, 1) into draws from `ranges`.

    The order of the columns is fixed: models are compared on the draws of the evaluation's seeds.
    """
    columns = uniform.unbind(dim=1)
    names = [list(FILTERS).index(name) for name in ranges.filters]
    least, most = ranges.scale
    ringing = columns[11] < ranges.ringing
    cutoffs = _spread(columns[12], (math.pi / 3, math.pi))
    return Draws(
        sigmas=_spread(uniform[:, :2], ranges.blur_sigma),
        angles=math.pi * columns[2],
        moving=columns[3] < ranges.motion,
        scales=least * (most / least) ** columns[4],
        noise=_spread(columns[5], ranges.noise_sigma),
        gray=columns[6] < ranges.gray_noise,
        quality=_spread(columns[7], ranges.jpeg_quality).round(),
        filters=torch.tensor(names, device="cpu")[(columns[8] * len(names)).long()],
        shot=columns[9] < ranges.shot_noise,
        noise_seeds=(columns[10] * 2**24).long(),
        cutoffs=torch.where(ringing, cutoffs, math.nan),
    )


def choose(mask: torch.Tensor, one: Draws, other: Draws) -> Draws:
    """Return the draws of `one` where `mask` [B] is true, else those of `other`."""
    mixed = other.select(torch.arange(len(mask), device="cpu"))  # a copy
    for target, values in zip(mixed, one, strict=True):
        target[mask] = values[mask]
    return mixed


def _spread(uniform: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    """Map [0, 1) to the range between `ends`."""
    return ends[0] + (ends[1] - ends[0]) * uniform
