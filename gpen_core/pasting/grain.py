"""Lay the photograph's own grain over restored faces, which would be too calm without it.

A network removes noise, so that a face stands out as a smooth disc in a noisy photograph. The noise
around the faces has a level and a spectrum, and its channels depend on each other: film grain is
mostly grey. Noise of this kind is drawn anew (a Gaussian texture, Galerne et al. 2011) and added
where, and as far as, it is missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .. import warp
from ..sharpen import luma

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .placement import Placement

BLOCK = 8
"""Side in pixels of the blocks in which the level is measured."""

TILES, TILES_NEEDED = (32, 16), 40
"""Sides in pixels of the tiles in which the spectrum is measured: the first of which the photograph
has so many, else the last."""

AVERAGED = 8
"""Fewest tiles whose spectra are averaged; single ones differ."""

COARSE = 12.8
"""Length in pixels of the waves from which on shading hides the noise."""

FLATTEST = 0.1
"""Share of the blocks, and of the tiles, that count as flat: there is noise and little else."""

FEWEST = 20
"""Fewest blocks from which a level is measured."""

ENOUGH = 100
"""Blocks as bright as the face from which the others do not count."""

MOST = 100_000
"""Most blocks that are looked at; of a larger photograph a sample will do."""

NOTHING = 0.1 / 255
"""Levels of noise below this are none."""

CLIPPED = 0.02
"""Share of black or white pixels from which a block is left out: noise is cut off there."""

LIGHTS = (0.05, 0.95)
"""Quantiles of a face's luma between which the rest of the photograph is as bright as the face."""

INNER = 0.9
"""Mask from which a pixel belongs to the face alone."""


def add_grain(
    result: torch.Tensor, mask: torch.Tensor, placements: Sequence[Placement], amount: float
) -> None:
    """Lay grain over pasted faces, in place. Pixels outside the mask stay bit for bit.

    Nothing is added where too little of the photograph is left to measure its noise in, or where
    the photograph has none.

    Args:
        result: [B, 3, H, W] RGB in [0, 1], the photographs with their faces pasted.
        mask: [B, 1, H, W] in [0, 1], how much of each pixel was pasted.
        placements: of the faces that get grain.
        amount: 0 … 1; at 1 a face gets all the grain that it lacks.
    """
    rectangles: dict[int, list[warp.Rectangle]] = {}
    for placement in placements:
        if min(placement.rectangle.width, placement.rectangle.height) >= 1:
            rectangles.setdefault(placement.image, []).append(placement.rectangle)
    for index, places in rectangles.items():
        image, cover = result[index], mask[index]
        light = _find_lights(image, cover, places)
        outside = measure_level(image, cover == 0, light)
        if outside is None or float(outside.max()) < NOTHING:
            continue
        kernel = _find_kernel(image, cover == 0, light)
        done = torch.zeros_like(cover, dtype=torch.bool)
        for rectangle in places:
            _grain_face(image, cover, done, rectangle, outside, kernel, amount)


def _find_lights(
    image: torch.Tensor, cover: torch.Tensor, places: Sequence[warp.Rectangle]
) -> tuple[float, float]:
    """Find the darkest and the brightest luma that most of the faces have.

    Noise depends on the brightness, so it is measured where the photograph is as bright.
    """
    samples = []
    for left, top, right, bottom in places:
        step = max(1, min(bottom - top, right - left) // 64)
        here = (..., slice(top, bottom, step), slice(left, right, step))
        samples.append(luma(image[here][None].float())[0][cover[here] > INNER])
    lights = torch.cat(samples)
    if not len(lights):
        return 0.0, 1.0
    low, high = torch.quantile(
        lights[:: 1 + len(lights) // MOST], lights.new_tensor(LIGHTS)
    ).tolist()
    return low, high


def _grain_face(
    image: torch.Tensor,
    cover: torch.Tensor,
    done: torch.Tensor,
    rectangle: warp.Rectangle,
    outside: torch.Tensor,
    kernel: torch.Tensor,
    amount: float,
) -> None:
    """Add the grain that one face lacks to its rectangle; `done` marks pixels that have theirs."""
    left, top, right, bottom = rectangle
    here = (..., slice(top, bottom), slice(left, right))
    pixels, weights = image[here].float(), cover[here].float()
    inside = measure_level(pixels, weights > INNER)
    kept = torch.zeros_like(outside)
    if inside is not None:
        kept = (inside / outside.clamp(min=NOTHING)).clamp(max=1)
    grain = draw_grain(kernel, pixels.shape[1], pixels.shape[2], outside)
    # The rest of the photograph shows through the mask, and its noise with it.
    present = (1 - weights) + weights * kept[:, None, None]
    missing = (1 - present.square()).clamp(min=0).sqrt()
    grained = (pixels + amount * missing * grain).clamp(0, 1)
    changes = (weights > 0) & ~done[here]
    image[here] = torch.where(changes, grained.to(image.dtype), image[here])
    done[here] |= weights > 0


def measure_level(
    image: torch.Tensor, where: torch.Tensor, light: tuple[float, float] = (0.0, 1.0)
) -> torch.Tensor | None:
    """Measure the standard deviation of the noise in each channel, in the flattest blocks.

    Args:
        image: [3, H, W] RGB in [0, 1].
        where: [1, H, W] bool, the pixels that count.
        light: the luma of blocks that count, if there are enough of them.

    Returns:
        [3], or None if there are too few blocks.
    """
    blocks = _collect(image, where, BLOCK, light)
    if len(blocks) < FEWEST:
        return None
    flat = blocks[_find_flattest(blocks)]
    # A plane was taken away, so that three values of a block are not free.
    free = 1 - 3 / BLOCK**2
    return (flat.square().mean(dim=(0, 2, 3)) / free).sqrt()


def _collect(
    image: torch.Tensor, where: torch.Tensor, side: int, light: tuple[float, float]
) -> torch.Tensor:
    """Collect the blocks [K, 3, side, side] that lie in `where`, without their shading."""
    height, width = (length // side * side for length in image.shape[1:])
    if not height or not width:
        return image.new_zeros(0, 3, side, side)
    allowed = F.max_pool2d((~where)[None].float(), side)[0, 0] == 0
    places = allowed.flatten().nonzero()[:, 0]
    places = places[:: 1 + len(places) // MOST]
    grid = image[:, :height, :width].unfold(1, side, side).unfold(2, side, side)
    rows, columns = places // allowed.shape[1], places % allowed.shape[1]
    blocks = grid[:, rows, columns].movedim(1, 0).float()  # [K, 3, side, side]
    ends = ((blocks <= 0) | (blocks >= 1)).any(dim=1).float().mean(dim=(1, 2))
    blocks = blocks[ends <= CLIPPED]
    lights = luma(blocks).mean(dim=(1, 2, 3))
    alike = (lights >= light[0]) & (lights <= light[1])
    if int(alike.sum()) >= ENOUGH:
        blocks = blocks[alike]
    return _flatten_shading(blocks)


def _flatten_shading(blocks: torch.Tensor) -> torch.Tensor:
    """Take a plane away from each channel of blocks [K, 3, side, side]."""
    side = blocks.shape[-1]
    along = torch.arange(side, device=blocks.device) - (side - 1) / 2
    ones = torch.ones(side, side, device=blocks.device)
    for shape in (ones, along * ones, along[:, None] * ones):
        share = (blocks * shape).sum(dim=(2, 3), keepdim=True) / shape.square().sum()
        blocks = blocks - share * shape
    return blocks


def _find_flattest(blocks: torch.Tensor, least: int = 1) -> torch.Tensor:
    """Find the rows of the flattest of blocks [K, 3, side, side], at least so many."""
    energy = luma(blocks).square().mean(dim=(1, 2, 3))
    # The same share however few there are: a larger one would hold stronger noise.
    return energy.argsort()[: max(least, math.ceil(FLATTEST * len(blocks)))]


def _find_kernel(
    image: torch.Tensor, where: torch.Tensor, light: tuple[float, float]
) -> torch.Tensor:
    """Find the filter [3, 3, t, t] that gives white noise the spectrum of the photograph's.

    It is the square root of the mean cross spectrum of the flattest tiles. Without tiles the noise
    is taken for white and grey.
    """
    tiles = image.new_zeros(0)
    for side in TILES:
        tiles = tiles if len(tiles) >= TILES_NEEDED else _collect(image, where, side, light)
    if not len(tiles):
        kernel = image.new_zeros(3, 3, BLOCK, BLOCK, dtype=torch.float32)
        kernel[:, 0, 0, 0] = 1
        return kernel
    side = tiles.shape[-1]
    tiles = tiles[_find_flattest(tiles, AVERAGED)]
    window = torch.hann_window(side, device=tiles.device)
    waves = torch.fft.fft2(tiles * window * window[:, None]).movedim(1, -1)  # [K, t, t, 3]
    spectrum = (waves[..., :, None] * waves[..., None, :].conj()).mean(dim=0)  # [t, t, 3, 3]
    spectrum = _replace_shading(spectrum.to("cpu", torch.complex128))
    values, vectors = torch.linalg.eigh(spectrum)
    roots = values.clamp(min=0).sqrt().to(vectors.dtype)
    root = (vectors * roots[..., None, :]) @ vectors.mH
    kernel = torch.fft.ifft2(root.movedim((2, 3), (0, 1))).real.float()
    kernel = kernel.roll((side // 2, side // 2), (2, 3))  # its middle was in the corner
    if bool((tiles == tiles[:, :1]).all()):
        kernel = kernel.mean(dim=0, keepdim=True).expand_as(kernel)  # grey stays grey
    return kernel.to(image.device)


def _replace_shading(spectrum: torch.Tensor) -> torch.Tensor:
    """Replace the coarsest waves of a cross spectrum [t, t, 3, 3], which are mostly shading.

    Noise has about as much energy there as in somewhat finer waves.
    """
    side = len(spectrum)
    along = torch.fft.fftfreq(side, 1 / side)
    waves = torch.hypot(along, along[:, None])
    coarse = side / COARSE
    next_finer = (waves >= coarse) & (waves < coarse + 1)
    replaced = spectrum.clone()
    replaced[waves < coarse] = spectrum[next_finer].mean(dim=0).real.to(spectrum.dtype)
    return replaced


def draw_grain(kernel: torch.Tensor, height: int, width: int, level: torch.Tensor) -> torch.Tensor:
    """Draw grain [3, height, width] of a level [3] from a filter [3, 3, t, t].

    It depends on the noise that was measured, so that the grain of each frame of a film differs.
    """
    tile = kernel.shape[-1]
    # Large enough to measure its level as that of the photograph.
    rows, columns = (max(length, 8 * tile) for length in (height, width))
    seed = int(float(level.double().sum()) * 2**40) % 2**31
    generator = torch.Generator("cpu").manual_seed(seed)
    white = torch.randn(3, rows, columns, generator=generator).to(kernel.device)
    kernel = F.pad(kernel, (0, columns - tile, 0, rows - tile))
    field = torch.fft.irfft2(
        (torch.fft.rfft2(kernel) * torch.fft.rfft2(white)).sum(dim=1), s=(rows, columns)
    )
    field = field / (100 * field.std().clamp(min=1e-12))  # far from black and white
    own = measure_level(field + 0.5, torch.ones_like(field[:1], dtype=torch.bool))
    own = field.std(dim=(1, 2)) if own is None else own
    return field[:, :height, :width] * (level / own.clamp(min=1e-12))[:, None, None]
