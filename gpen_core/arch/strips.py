"""GPEN on a CPU: the modules' arithmetic for one face, in strips of rows that stay in cache.

A CPU computes GPEN's convolutions faster than it moves their inputs through memory. So whatever is
known before the pixels is folded into the weights; everything is channels_last, where rows lie
together; and every resolution is computed strip by strip, a strip going through all the layers of
its resolution, and at the end through those of two. Strips are exact: a convolution keeps the last
rows of the strip before, and a transposed one adds up what neighbours give to the rows they share.
Measurements: benchmarks/NOTES.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from . import ops
from .folding import Folded, FoldedStyled, fold_encoder_stage, fold_rgb, fold_styled

if TYPE_CHECKING:
    from .gpen import GPEN, FreshNoise
    from .workspace import Workspace

STRIP_BYTES = 1 << 20
"""Size of a strip's input, per thread; all that is made of it takes about nine times as much."""

CHAINED = 2
"""How many of the highest resolutions a strip goes through without being stored in between."""

SUMMED = 128
"""Input channels that a float32 encoder's convolution adds up at a time.

Shorter sums are more exact, which the latent magnifies: without this it is 1.7 × as far from what
float64 gives, and the face of GPEN-2048 up to 3.7 × as far. It costs no time.
"""

Rows = Callable[[int, int], torch.Tensor]
"""Gives rows [start, stop) of a feature map as [1, C, stop − start, W]."""


def restore_face(
    model: GPEN,
    x: torch.Tensor,
    out: torch.Tensor,
    fresh_noise: FreshNoise,
    workspace: Workspace,
) -> None:
    """As `GPEN.forward`, from one face x [1, 3, in_size, in_size] into out."""
    latent, features = _encode(model, x, workspace)
    generator, dtype = model.generator, model.dtype

    def noise_of(index: int) -> Rows:
        if index < len(features):
            return features[index]
        return _rows_of(fresh_noise(index).to(dtype, memory_format=torch.channels_last))

    first = fold_styled(generator.conv1, latent, workspace, "conv")
    x = generator.input.input.to(dtype, memory_format=torch.channels_last)
    y = F.conv2d(x, first.weight, first.bias, padding=1)
    x = workspace.take_rows("4", first.channels_out, 4, 4, dtype)
    _activate(first, y, noise_of(0)(0, 4), x)
    rgb = F.conv2d(x.float(), *fold_rgb(generator.to_rgb1, latent))

    strips = _split(x)
    sizes = model.config.resolutions
    for index, size in enumerate(sizes[1:], start=1):
        stored = index < len(sizes) - CHAINED
        name = "" if stored else f" {size}"  # chained levels need their weights at the same time
        up, conv, to_rgb = generator.level(index)
        level = _Level(
            size,
            fold_styled(up, latent, workspace, f"up{name}"),
            fold_styled(conv, latent, workspace, f"conv{name}"),
            fold_rgb(to_rgb, latent),
            up.fir_kernel,
            (noise_of(index), noise_of(index)),
        )
        last = size == model.config.out_size
        skip, rgb = rgb, out if last else torch.empty(1, 3, size, size)
        if stored:
            x = workspace.take_rows(f"{size}", level.conv.channels_out, size, size, dtype)
            _exhaust(level.run(strips, skip, rgb, x))
            strips = _split(x)
        else:
            strips = level.run(strips, skip, rgb)
    _exhaust(strips)


def _encode(model: GPEN, x: torch.Tensor, workspace: Workspace) -> tuple[torch.Tensor, list[Rows]]:
    """As `GPEN.encode`; the finest feature, cheap and large, is computed whenever it is read."""
    weight, bias = fold_encoder_stage(model.encoder_stage(0), model.dtype)

    def finest(start: int, stop: int) -> torch.Tensor:
        rows = x[:, :, start:stop].to(weight.dtype, memory_format=torch.channels_last)
        return F.leaky_relu_(F.conv2d(rows, weight, bias), ops.SLOPE)

    features: list[Rows] = [finest]
    size = model.config.in_size
    for level in range(1, model.encoder_levels):
        stage = model.encoder_stage(level)
        size //= 2
        folded = fold_encoder_stage(stage, model.dtype)
        out = workspace.take_rows(f"feature {size}", len(folded.weight), size, size, model.dtype)
        _downsample(features[-1], folded, stage.get_buffer("0.kernel"), out)
        features.append(_rows_of(out))
    flat = features[-1](0, 4).contiguous().flatten(1).float()  # C, H, W order
    latent = model.generator.style(model.final_linear(flat))
    return latent, features[::-1]


def _downsample(x: Rows, stage: Folded, kernel: torch.Tensor, out: torch.Tensor) -> None:
    """FIR, strided convolution and activation into out [1, C, S, S]."""
    size = out.shape[2]
    channels = SUMMED if out.dtype == torch.float32 else stage.weight.shape[1]
    weights = stage.weight.split(channels, dim=1)
    for start, stop in _strips(size, out.shape[1] * size * out.element_size()):
        # The convolution reads rows 2·start … 2·stop of the FIR's output, row j of which reads
        # rows j − 2 … j + 1 of x; rows that saw the strip's edge are dropped.
        first, last = max(2 * start - 2, 0), min(2 * stop + 2, 2 * size)
        y = None
        for part, weight in zip(x(first, last).split(channels, dim=1), weights, strict=True):
            part = ops.fir(part.contiguous(memory_format=torch.channels_last), kernel, (2, 2))
            part = part[:, :, 2 * start - first : 2 * stop + 1 - first]
            part = F.conv2d(part, weight, stage.bias if y is None else None, stride=2)
            y = part if y is None else y.add_(part)
        assert y is not None
        _leaky_relu(y, out[:, :, start:stop])


@dataclass(frozen=True)
class _Level:
    """One resolution of the generator: an upsampling layer, a second layer, and RGB."""

    size: int
    up: FoldedStyled
    conv: FoldedStyled
    to_rgb: Folded
    fir_kernel: torch.Tensor
    noise: tuple[Rows, Rows]

    def run(
        self,
        strips: Iterable[torch.Tensor],
        skip: torch.Tensor,
        rgb: torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Strips of the level's output, from strips of the level below.

        Args:
            skip: RGB [1, 3, S/2, S/2] of the level below, finished as far as `strips` are.
            rgb: [1, 3, S, S], which is written.
            out: [1, C, S, S], into which the strips are written too.
        """
        top = 0  # the first row that is not yet upsampled
        edge = torch.zeros((), dtype=self.up.weight.dtype).expand(
            1, self.up.channels_out, 1, self.size
        )
        for y in self._upsample(strips):
            bottom = top + y.shape[2]
            above = edge.shape[2]
            below = int(bottom == self.size)  # the zeros that follow the last row
            start, stop = top - above + 1, bottom + below - 1
            noise = self.noise[0](start, bottom)
            x = _empty(self.up.channels_out, above + y.shape[2] + below, y)
            x[:, :, :above] = edge
            x[:, :, above + y.shape[2] :] = 0
            inner = x[:, :, above : above + y.shape[2]]
            _activate(self.up, y, noise[:, :, top - start :], inner)
            edge = x[:, :, -2:].clone()

            y = F.conv2d(x, self.conv.weight, self.conv.bias, padding=(0, 1))
            if self.noise[1] is not self.noise[0]:
                noise = self.noise[1](start, stop)
            if out is None:
                x = _empty(self.conv.channels_out, stop - start, y)
            else:
                x = out[:, :, start:stop]
            _activate(self.conv, y, noise[:, :, : stop - start], x)
            y = F.conv2d(x.float(), *self.to_rgb)
            below_rgb = _upsample_rgb(skip, self.fir_kernel, start, stop)
            torch.add(y, below_rgb, out=rgb[:, :, start:stop])
            yield x
            top = bottom

    def _upsample(self, strips: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Rows of the first layer before its noise and activation, each given once, complete."""
        weight = self.up.weight.transpose(0, 1)
        taps = self.fir_kernel.to(weight.dtype).expand(self.up.channels, 1, -1, -1)
        bias = self.up.bias[:, None, None]
        read = 0
        shared: torch.Tensor | None = None
        for x in strips:
            y = F.conv_transpose2d(x, weight, stride=2)
            # Row 0 is row 2·read − 2 of the level: the FIR's first tap on the strip's first row.
            y = F.conv2d(y, taps, self.up.bias, padding=(3, 1), groups=self.up.channels)
            if shared is not None:
                y[:, :, :4] += shared
            shared = y[:, :, -4:] - bias
            begin = 0 if read else 2
            read += x.shape[2]
            end = 2 if 2 * read == self.size else 4
            yield y[:, :, begin : y.shape[2] - end]


def _upsample_rgb(rgb: torch.Tensor, kernel: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    first, last = max(start // 2 - 1, 0), min((stop + 1) // 2 + 1, rgb.shape[2])
    return ops.fir_upsample(rgb[:, :, first:last], kernel)[
        :, :, start - 2 * first : stop - 2 * first
    ]


def _activate(layer: FoldedStyled, y: torch.Tensor, noise: torch.Tensor, out: torch.Tensor) -> None:
    """Append or add the noise and activate, into out; y is used up."""
    if layer.noise_bias is None:
        _leaky_relu(y.add_(noise, alpha=layer.noise_gain), out)
        return
    _leaky_relu(y, out[:, : layer.channels])
    # A bias as long as a row: half precision is vectorised only along a long inner dimension.
    bias = layer.noise_bias.repeat(y.shape[3]).view(1, 1, y.shape[3], -1).permute(0, 3, 1, 2)
    noise = torch.add(bias, noise, alpha=layer.noise_gain)
    _leaky_relu(noise, out[:, layer.channels :])


def _leaky_relu(x: torch.Tensor, out: torch.Tensor) -> None:
    """Leaky ReLU of x, which is used up, into out, which may hold more channels per pixel."""
    if x.dtype == torch.float32:
        torch.ops.aten.leaky_relu.out(x, ops.SLOPE, out=out)
    else:  # copying into part of the channels is vectorised, half-precision arithmetic is not
        out.copy_(F.leaky_relu_(x, ops.SLOPE))


def _empty(channels: int, rows: int, like: torch.Tensor) -> torch.Tensor:
    shape = (1, channels, rows, like.shape[3])
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


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
