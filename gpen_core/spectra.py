"""How much of a restored face the photograph holds: noise, cut-off, and what lies beyond.

A photograph holds detail down to the fineness at which it drowns in the photograph's own noise, the
*cut-off*. Whatever a restored face shows beyond, the network has made up: likely, but not seen.

Spectra are measured in blocks of the luma. Noise is the same all over a face, detail is not: the
flattest blocks have the spectrum of the noise, the mean of all blocks that of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from .sharpen import luma
from .warp import Rectangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCKS = (32, 16, 8)
"""Sides of blocks in pixels. The largest is taken of which a face is `ACROSS` wide and high."""

ACROSS = 3

FLATTEST = 0.12
"""Share of the blocks that count as flat."""

SMALL = {32: 16, 16: 8, 8: 8}
"""Sides of the blocks in which noise is measured: a face has few places that are flat and large."""

SIGNAL = 2.0
"""Detail is what has so many times the energy of the noise."""

SLOPE, FAINT = 3, 0.03
"""Energy of sharp pictures falls with the number of waves to the power of −3. Detail that has less
than this share of it, a sixth of the contrast, is a remainder of blur or enlarging."""

MARGIN = 1.25
"""Energy up to so many times the noise's is noise: single blocks differ."""

SMALLEST = 32
"""Side in pixels of the smallest area that is measured, with what is around a smaller face."""

AROUND = 0.1
"""The area that is measured is wider than the face's box by this part of it on each side."""

LEAST = 1 / 12
"""Energy of the noise at least, in levels²: that of rounding to 8 bits."""

FIRST = 2
"""The coarsest ring that counts. The first holds the shading, too."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The energy of a picture by fineness.

    Attributes:
        block: side b of the blocks in pixels. Ring r has r waves across a block, r = 0 … b/2.
        power: [b/2 + 1] mean energy in levels² (of 255); noise of σ levels has σ² in each ring.
        noise: [b/2 + 1] the same of the noise alone.
    """

    block: int
    power: torch.Tensor
    noise: torch.Tensor

    @property
    def cut_off(self) -> int:
        """The first ring whose detail drowns in noise or fades away; b/2 + 1 if none does."""
        rings = torch.arange(len(self.power)).clamp(min=1)
        sharp = self.power[FIRST] * (rings / FIRST) ** -SLOPE
        least = torch.maximum(SIGNAL * self.noise, FAINT * sharp)
        drowned = (self.power < least)[FIRST:].nonzero()
        return FIRST + int(drowned[0]) if len(drowned) else self.block // 2 + 1

    @property
    def finest(self) -> float:
        """The length in pixels of the finest waves above the noise, 2 at least."""
        return self.block / max(1, self.cut_off - 1)

    @property
    def noise_level(self) -> float:
        """The standard deviation of the noise in levels of 255, if it is white.

        It is measured in the finer half of the rings, where flat skin has little but noise.
        """
        fine = slice(self.block // 4, None)
        weights = _count_ring(self.block)[fine]
        return float(((self.noise[fine] * weights).sum() / weights.sum()).sqrt())


def choose_area(
    box: tuple[float, ...], size: torch.Size | tuple[int, int], margin: float = AROUND
) -> Rectangle:
    """Choose the pixels in which a face is measured, at least `SMALLEST` wide and high if possible.

    Args:
        box: x0, y0, x1, y1 of the face.
        size: height and width of the image.
        margin: how much wider the area is than the box, as a part of it, on each side.
    """
    sides = []
    for low, high, length in ((box[0], box[2], size[1]), (box[1], box[3], size[0])):
        grown = max(SMALLEST, (1 + 2 * margin) * (high - low))
        wide = min(length, round(grown))
        start = round((low + high - wide) / 2)
        start = max(0, min(start, length - wide))
        sides.append((start, start + wide))
    (left, right), (top, bottom) = sides
    return Rectangle(left, top, right, bottom)


def choose_block(height: int, width: int) -> int | None:
    """Choose the side of the blocks for a face; None if it is too small to be measured."""
    return next((block for block in BLOCKS if min(height, width) >= ACROSS * block), None)


def measure_spectrum(pixels: torch.Tensor, block: int) -> Spectrum:
    """Measure the spectrum of a face.

    Args:
        pixels: [1, 3, h, w] RGB in [0, 1], at least `block` high and wide.
        block: side of the blocks in pixels, even.
    """
    power = _sum_rings(_transform(pixels, block).abs().square(), block).mean(dim=0)
    return Spectrum(block, power, measure_noise(pixels, block).clamp(min=LEAST))


def measure_noise(pixels: torch.Tensor, block: int) -> torch.Tensor:
    """Measure the spectrum [b/2 + 1] of the noise of [1, 3, h, w], for blocks of side b."""
    small = SMALL[block]
    noise = _find_flattest(_measure_blocks(pixels, small)) / _measure_bias(small)
    noise[:FIRST] = noise[FIRST]  # the coarsest rings hold shading
    places = torch.arange(block // 2 + 1) * (small / block)
    return noise[places.floor().long()].lerp(noise[places.ceil().long()], places.frac())


@dataclass(frozen=True, eq=False)
class Comparison:
    """The spectra of the same face before and after.

    Attributes:
        before: of the photograph.
        after: of the result.
        common: [b/2 + 1] mean of before · after, in levels².
        change: [b/2 + 1] energy of after − before, in levels².
    """

    before: Spectrum
    after: Spectrum
    common: torch.Tensor
    change: torch.Tensor

    @property
    def gain(self) -> torch.Tensor:
        """[b/2 + 1] the factor of the photograph's waves that comes nearest to the result's."""
        return (self.common / self.before.power.clamp(min=LEAST)).clamp(min=0)

    @property
    def made_up(self) -> float:
        """The share of the result's detail that the photograph does not hold, 0 … 1.

        Detail is the energy of the gradient, so that fine and coarse detail count alike. It is made
        up if it lies beyond the photograph's cut-off and follows none of the photograph's waves.
        Noise that is no stronger than the photograph's is no detail.
        """
        noise = MARGIN * torch.minimum(self.before.noise, self.after.noise)
        rings = torch.arange(len(noise), dtype=noise.dtype)
        weights = rings.square() * _count_ring(self.before.block)
        weights[:FIRST] = 0
        detail = (self.after.power - noise).clamp(min=0)
        new = (self.after.power - self.gain * self.common - noise).clamp(min=0)
        new[: self.before.cut_off] = 0
        total = (detail * weights).sum()
        return float((new * weights).sum() / total) if total > 0 else 0.0

    @property
    def changed(self) -> float:
        """By how many levels of 255 the face changed where the photograph does hold it.

        It is a root mean square over all that is coarser than the cut-off, without noise that went.
        """
        held = slice(1, self.before.cut_off)
        counts = _count_ring(self.before.block)
        energy = (self.change - self.before.noise).clamp(min=0) * counts
        return float((energy[held].sum() / counts.sum()).sqrt())


def compare(before: torch.Tensor, after: torch.Tensor, block: int) -> Comparison:
    """Measure the spectra of a face before and after, both [1, 3, h, w] RGB in [0, 1]."""
    one, other = (_transform(pixels, block) for pixels in (before, after))
    common = _sum_rings((one.conj() * other).real, block).mean(dim=0)
    change = _sum_rings((other - one).abs().square(), block).mean(dim=0)
    return Comparison(
        measure_spectrum(before, block), measure_spectrum(after, block), common, change
    )


def _measure_blocks(pixels: torch.Tensor, block: int) -> torch.Tensor:
    """Measure the energy [K, b/2 + 1] of each small block, in levels²."""
    return _sum_rings(_transform(pixels, block, torch.hann_window).abs().square(), block)


def _transform(
    pixels: torch.Tensor,
    block: int,
    window: Callable[[int], torch.Tensor] = torch.blackman_window,
) -> torch.Tensor:
    """Transform blocks of the luma, which overlap by a half, into waves [K, b, b].

    Strong coarse waves must not leak into the fine rings. So the shading is taken away, and the
    window is one that leaks little, by default.
    """
    light = 255 * luma(pixels.float())[0, 0].cpu()
    blocks = light.unfold(0, block, block // 2).unfold(1, block, block // 2)
    blocks = blocks.reshape(-1, block, block)
    weights = window(block)[:, None] * window(block)
    along = torch.arange(block) - block / 2
    for shape in (torch.ones(block, block), along.expand(block, block), along[:, None]):
        share = (blocks * weights * shape).sum(dim=(1, 2)) / (weights * shape.square()).sum()
        blocks = blocks - share[:, None, None] * shape
    return torch.fft.fft2(blocks * weights) / weights.square().sum().sqrt()


def _sum_rings(energy: torch.Tensor, block: int) -> torch.Tensor:
    """Average energies [K, b, b] over each ring; gives [K, b/2 + 1]."""
    sums = energy.new_zeros(len(energy), block // 2 + 2)
    sums.index_add_(1, _find_rings(block).to(energy.device).flatten(), energy.flatten(1))
    return sums[:, :-1] / _count_ring(block).to(energy.device)


@cache
def _find_rings(block: int) -> torch.Tensor:
    """Find the ring [b, b] of each frequency; those in the corners have the last number."""
    waves = torch.fft.fftfreq(block, 1 / block)
    return torch.hypot(waves[:, None], waves).round().long().clamp(max=block // 2 + 1)


@cache
def _count_ring(block: int) -> torch.Tensor:
    """Count the frequencies [b/2 + 1] of each ring."""
    return torch.bincount(_find_rings(block).flatten())[:-1].float()


def _find_flattest(power: torch.Tensor) -> torch.Tensor:
    """Average the spectra [K, R] of the flattest blocks."""
    roughness = power[:, 1:].mean(dim=1)
    return power[roughness.argsort()[: max(1, round(FLATTEST * len(power)))]].mean(dim=0)


@cache
def _measure_bias(block: int) -> torch.Tensor:
    """Measure by how much the flattest blocks of white noise are calmer than all blocks, [R]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, 8 * block, 8 * block, generator=generator).expand(-1, 3, -1, -1)
    power = _measure_blocks(noise / 255, block)
    return _find_flattest(power) / power.mean(dim=0)


def low_pass(pixels: torch.Tensor, waves: Sequence[float]) -> torch.Tensor:
    """Keep what is coarser than so many waves across the height and the width.

    Args:
        pixels: [..., h, w], mirrored at the borders.
        waves: across the height and across the width.
    """
    height, width = pixels.shape[-2:]
    mirrored = torch.cat([pixels, pixels.flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)
    y = torch.fft.fftfreq(2 * height, 1 / (2 * height), device=pixels.device) / (2 * waves[0])
    x = torch.fft.rfftfreq(2 * width, 1 / (2 * width), device=pixels.device) / (2 * waves[1])
    kept = torch.exp(-(torch.hypot(y[:, None], x) ** 4))  # a soft edge, so that nothing rings
    return torch.fft.irfft2(torch.fft.rfft2(mirrored) * kept, s=mirrored.shape[-2:])[
        ..., :height, :width
    ]
