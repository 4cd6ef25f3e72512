"""GPEN on a CPU: the modules' arithmetic for one face, in strips of rows that stay in cache.

A CPU computes GPEN's convolutions faster than it moves their inputs through memory. So whatever is
known before the pixels is folded into the weights; everything is channels_last, where rows lie
together; and every resolution is computed strip by strip, a strip going through all the layers of
its resolution, and at the end through those of two. Strips are exact: a convolution keeps the last
rows of the strip before, and a transposed one adds up what neighbours give to the rows they share.
Measurements: benchmarks/NOTES.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from . import ops, packed
from .folding import fold_encoder_stage, fold_rgb, fold_styled
from .level import Level, Rows, activate

if TYPE_CHECKING:
    from .gpen import GPEN, FreshNoise
    from .kept import Kept

STRIP_BYTES = 1 << 20
"""Size of a strip's input, per thread; all that is made of it takes about nine times as much."""

CHAINED = 2
"""How many of the highest resolutions a strip goes through without being stored in between."""


def restore_face(
    model: GPEN,
    x: torch.Tensor,
    out: torch.Tensor,
    fresh_noise: FreshNoise,
    kept: Kept,
) -> None:
    """As `GPEN.forward`, from one face x [1, 3, in_size, in_size] into out."""
    latent, features = _encode(model, x, kept)
    generator, dtype = model.generator, model.dtype

    def noise_of(index: int) -> Rows:
        if index < len(features):
            return features[index]
        return _rows_of(fresh_noise(index).to(dtype, memory_format=torch.channels_last))

    first = fold_styled(generator.conv1, latent, 4, kept)
    x = generator.input.input.to(dtype, memory_format=torch.channels_last)
    y = first.convolve(F.pad(x, (1, 1, 1, 1)))
    x = kept.workspace.take_rows("4", first.channels_out, 4, 4, dtype)
    activate(first, y, noise_of(0)(0, 4), x)
    rgb = F.conv2d(x.float(), *fold_rgb(generator.to_rgb1, latent))

    strips = _split(x)
    sizes = model.config.resolutions
    for index, size in enumerate(sizes[1:], start=1):
        stored = index < len(sizes) - CHAINED
        up, conv, to_rgb = generator.level(index)
        level = Level(
            size,
            fold_styled(up, latent, size // 2, kept),
            fold_styled(conv, latent, size, kept),
            packed.convolution(*fold_rgb(to_rgb, latent), size),
            up.fir_kernel,
            (noise_of(index), noise_of(index)),
        )
        last = size == model.config.out_size
        skip, rgb = rgb, out if last else torch.empty(1, 3, size, size)
        if stored:
            x = kept.workspace.take_rows(f"{size}", level.conv.channels_out, size, size, dtype)
            _exhaust(level.run(strips, skip, rgb, x))
            strips = _split(x)
        else:
            strips = level.run(strips, skip, rgb)
    _exhaust(strips)


def _encode(model: GPEN, x: torch.Tensor, kept: Kept) -> tuple[torch.Tensor, list[Rows]]:
    """As `GPEN.encode`; the finest feature, cheap and large, is computed whenever it is read."""
    size, dtype = model.config.in_size, model.dtype
    first = fold_encoder_stage(model.encoder_stage(0), dtype, size, kept)

    def finest(start: int, stop: int) -> torch.Tensor:
        return first(x[:, :, start:stop].to(dtype, memory_format=torch.channels_last))

    features: list[Rows] = [finest]
    for level in range(1, model.encoder_levels):
        stage = model.encoder_stage(level)
        convolve = fold_encoder_stage(stage, dtype, size + 1, kept, stride=2)
        size //= 2
        width = model.config.width(size)
        out = kept.workspace.take_rows(f"feature {size}", width, size, size, dtype)
        _downsample(features[-1], convolve, stage.get_buffer("0.kernel"), out)
        features.append(_rows_of(out))
    return model.latent_of(features[-1](0, 4)), features[::-1]


def _downsample(
    x: Rows, convolve: packed.Convolution, kernel: torch.Tensor, out: torch.Tensor
) -> None:
    """FIR, strided convolution and activation into out [1, C, S, S]."""
    size = out.shape[2]
    for start, stop in _strips(size, out.shape[1] * size * out.element_size()):
        # The convolution reads rows 2·start … 2·stop of the FIR's output, row j of which reads
        # rows j − 2 … j + 1 of x; rows that saw the strip's edge are dropped.
        first, last = max(2 * start - 2, 0), min(2 * stop + 2, 2 * size)
        y = ops.fir(x(first, last), kernel, (2, 2))
        out[:, :, start:stop] = convolve(y[:, :, 2 * start - first : 2 * stop + 1 - first])


def _rows_of(x: torch.Tensor) -> Rows:
    return lambda start, stop: x[:, :, start:stop]


def _split(x: torch.Tensor) -> Iterator[torch.Tensor]:
    for start, stop in _strips(x.shape[2], x.shape[1] * x.shape[3] * x.element_size()):
        yield x[:, :, start:stop]


def _strips(size: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows; at least four, so that every layer has something to hand on."""
    rows = max(STRIP_BYTES * torch.get_num_threads() // row_bytes, 4)
    rows = min(1 << (rows.bit_length() - 1), size)
    for start in range(0, size, rows):
        yield start, start + rows


def _exhaust(strips: Iterator[torch.Tensor]) -> None:
    for _ in strips:
        pass
