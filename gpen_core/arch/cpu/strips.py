"""Runs GPEN on a CPU: one face at a time, in strips of rows that stay in cache.

A CPU computes GPEN's convolutions faster than it moves their inputs through memory. So the engine
folds everything that is known before the pixels into the weights; keeps images channels_last, where
a row is one block of memory; and computes every level strip by strip. A strip passes through all
layers of its level before the next strip starts, and at the end through the layers of two levels.

Strips give the same result as whole images, except for rounding, because every layer keeps the rows
that the next strip needs. For example, a level of 16 rows, computed from the 8 rows of the level
below in strips of 4:

    strip                                         first     second
    rows of the level below                       0 … 3     4 … 7
    rows of the transposed convolution            0 … 8     8 … 16
    rows of the first layer, after the FIR        0 … 5     6 … 15
    rows of the second layer, and of RGB          0 … 4     5 … 15
    kept rows of the transposed convolution       5 … 8
    kept rows of the first layer                  4, 5

- Both strips add to row 8 of the transposed convolution, so it waits for the second.
- Row r of the FIR reads rows r − 1 … r + 2, so row 6 waits for row 8 and reads 5 … 7 again.
- Row r of the second layer, a 3×3 convolution, reads rows r − 1 … r + 1, so row 5 waits for row 6
  and reads 4 and 5 again.

benchmarks/NOTES.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .folding import Downsampling, fold_downsampling, fold_first_stage
from .level import Level, Rows
from .rgb import fold_add_rgb, fold_rgb
from .styled import fold_same_size, fold_upsampling
from .workspace import keep_freed_memory

if TYPE_CHECKING:
    from ..network import FreshNoise, Network
    from ..weight_cache import EngineMemory

STRIP_BYTES = 1 << 20
"""Bytes of a strip's input per thread. Its layers together take about nine times as much."""

CHAINED = 2
"""Number of the highest levels that a strip passes through without being stored in between."""


def restore_face(
    model: Network,
    x: torch.Tensor,
    out: torch.Tensor,
    fresh_noise: FreshNoise,
    memory: EngineMemory,
) -> None:
    """Restore the crop x [1, 3, in_size, in_size] into out [1, 3, out_size, out_size].

    Arguments and values are those of `Network.compute`.
    """
    keep_freed_memory()
    latent, features = _encode(model, x, memory)
    generator, dtype = model.generator, model.dtype

    def noise_of(index: int) -> Rows:
        if index < len(features):
            return features[index]
        return _rows_of(fresh_noise(index).to(dtype, memory_format=torch.channels_last))

    first = fold_same_size(generator.conv1, latent, 4, memory)
    x = generator.input.input.to(dtype, memory_format=torch.channels_last)
    padded = F.pad(x, (1, 1, 1, 1))
    x = memory.workspace.take_rows("4", first.channels_out, 4, 4, dtype)
    first.run(padded, noise_of(0)(0, 4), x)
    rgb = F.conv2d(x.float(), *fold_rgb(generator.to_rgb1, latent))

    strips, rows = _split(x), 4
    sizes = model.config.resolutions
    for index, size in enumerate(sizes[1:], start=1):
        stored = index < len(sizes) - CHAINED
        up, conv, to_rgb = generator.level(index)
        level = Level(
            size,
            fold_upsampling(up, latent, size // 2, rows, memory),
            fold_same_size(conv, latent, size, memory),
            fold_add_rgb(to_rgb, latent, size, dtype),
            up.fir_kernel,
            (noise_of(index), noise_of(index)),
        )
        skip, rgb = rgb, out
        if size < model.config.out_size:
            rgb = memory.workspace.take_rows(f"rgb {size}", 3, size, size, torch.float32)
        if stored:
            x = memory.workspace.take_rows(f"{size}", level.conv.channels_out, size, size, dtype)
            _exhaust(level.run(strips, skip, rgb, x))
            strips, rows = _split(x), _strip_rows(size, _row_bytes(x))
        else:
            strips, rows = level.run(strips, skip, rgb), 2 * rows
    _exhaust(strips)


def _encode(
    model: Network, x: torch.Tensor, memory: EngineMemory
) -> tuple[torch.Tensor, list[Rows]]:
    """Compute the same as `Network.encode`.

    The finest feature is cheap and large, so its rows are computed whenever they are read.
    """
    size, dtype = model.config.in_size, model.dtype
    first = fold_first_stage(model.encoder_stage(0), dtype, size, memory)

    def finest(start: int, stop: int) -> torch.Tensor:
        return first(x[:, :, start:stop].to(dtype, memory_format=torch.channels_last))

    features: list[Rows] = [finest]
    for level in range(1, model.encoder_levels):
        size //= 2
        width = model.config.width(size)
        out = memory.workspace.take_rows(f"feature {size}", width, size, size, dtype)
        rows = _strip_rows(size, _row_bytes(out))
        stage = fold_downsampling(model.encoder_stage(level), dtype, size, rows, memory)
        _downsample(features[-1], stage, rows, out)
        features.append(_rows_of(out))
    return model.latent_of(features[-1](0, 4)), features[::-1]


def _downsample(x: Rows, stage: Downsampling, rows: int, out: torch.Tensor) -> None:
    """Compute a stage of the encoder into out [1, C, S, S], `rows` rows at a time."""
    size = out.shape[2]
    for start in range(0, size, rows):
        # The convolution reads rows 2·start … 2·stop of the FIR, whose row j reads rows
        # j − 2 … j + 1 of x. Rows of the FIR that reach beyond the strip are dropped.
        stop = start + rows
        first, last = max(2 * start - 2, 0), min(2 * stop + 2, 2 * size)
        y = stage.blur(x(first, last))
        y = y[:, :, 2 * start - first : 2 * stop + 1 - first]
        stage.convolve(y, out[:, :, start:stop])


def _rows_of(x: torch.Tensor) -> Rows:
    return lambda start, stop: x[:, :, start:stop]


def _split(x: torch.Tensor) -> Iterator[torch.Tensor]:
    return iter(x.split(_strip_rows(x.shape[2], _row_bytes(x)), dim=2))


def _row_bytes(x: torch.Tensor) -> int:
    return x.shape[1] * x.shape[3] * x.element_size()


def _strip_rows(size: int, row_bytes: int) -> int:
    """Return the rows of a strip: a power of two, at least 4 so that every layer yields rows."""
    rows = max(STRIP_BYTES * torch.get_num_threads() // row_bytes, 4)
    return min(1 << (rows.bit_length() - 1), size)


def _exhaust(strips: Iterator[torch.Tensor]) -> None:
    for _ in strips:
        pass
