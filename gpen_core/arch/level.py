"""One resolution of the generator, computed in strips of rows; see `strips`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from . import ops

if TYPE_CHECKING:
    from .folding import FoldedStyled
    from .packed import Convolution

Rows = Callable[[int, int], torch.Tensor]
"""Gives rows [start, stop) of a feature map as [1, C, stop − start, W]."""


RGB_BYTES = 4 << 20
"""Size of what is turned to float32 at a time, for RGB."""


@dataclass(frozen=True)
class Level:
    """An upsampling layer, a second layer, and RGB.

    Attributes:
        size: side in pixels.
        rgb_of: [1, O', H, W] to its share of RGB, all in float32.
        fir_kernel: [4, 4], for RGB.
        noise: of the two layers.
    """

    size: int
    up: FoldedStyled
    conv: FoldedStyled
    rgb_of: Convolution
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
        edge = torch.zeros((), dtype=self.up.bias.dtype).expand(
            1, self.up.channels_out, 1, self.size + 2
        )
        for y in self._upsample(strips):
            bottom = top + y.shape[2]
            above = edge.shape[2]
            below = int(bottom == self.size)  # the zeros that follow the last row
            start, stop = top - above + 1, bottom + below - 1
            noise = self.noise[0](start, bottom)
            x = _empty(self.up.channels_out, above + y.shape[2] + below, self.size + 2, y.dtype)
            x[:, :, :above] = edge
            x[:, :, above + y.shape[2] :] = 0
            x[:, :, above:, :: self.size + 1] = 0
            inner = x[:, :, above : above + y.shape[2], 1:-1]
            activate(self.up, y, noise[:, :, top - start :], inner)
            edge = x[:, :, -2:].clone()

            y = self.conv.convolve(x)
            if self.noise[1] is not self.noise[0]:
                noise = self.noise[1](start, stop)
            if out is None:
                x = _empty(self.conv.channels_out, stop - start, self.size, y.dtype)
            else:
                x = out[:, :, start:stop]
            activate(self.conv, y, noise[:, :, : stop - start], x)
            self._add_rgb(
                x, _upsample_rgb(skip, self.fir_kernel, start, stop), rgb[:, :, start:stop]
            )
            yield x
            top = bottom

    def _add_rgb(self, x: torch.Tensor, skip: torch.Tensor, out: torch.Tensor) -> None:
        """The strip's share of RGB and that of the levels below, into out."""
        rows = max(RGB_BYTES // (4 * x.shape[1] * x.shape[3]), 1)
        parts = (tensor.split(rows, dim=2) for tensor in (x, skip, out))
        for share, below, sum_ in zip(*parts, strict=True):
            torch.add(self.rgb_of(share.float()), below, out=sum_)

    def _upsample(self, strips: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Rows of the first layer before its noise and activation, each given once, complete."""
        bias = self.up.bias[:, None, None]
        read = 0
        shared: torch.Tensor | None = None
        for x in strips:
            # Row 0 is row 2·read − 2 of the level: the FIR's first tap on the strip's first row.
            y = self.up.convolve(x)
            if shared is not None:
                y[:, :, :4] += shared
            shared = y[:, :, -4:] - bias
            begin = 0 if read else 2
            read += x.shape[2]
            end = 2 if 2 * read == self.size else 4
            yield y[:, :, begin : y.shape[2] - end]


def _upsample_rgb(rgb: torch.Tensor, kernel: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    first, last = max(start // 2 - 1, 0), min((stop + 1) // 2 + 1, rgb.shape[2])
    upsampled = ops.fir_upsample(rgb[:, :, first:last], kernel)
    return upsampled[:, :, start - 2 * first : stop - 2 * first]


def activate(layer: FoldedStyled, y: torch.Tensor, noise: torch.Tensor, out: torch.Tensor) -> None:
    """Append or add the noise and activate, into out; y is used up."""
    if layer.noise_bias is None:
        leaky_relu(y.add_(noise, alpha=layer.noise_gain), out)
        return
    leaky_relu(y, out[:, : layer.channels])
    noise = torch.add(layer.noise_bias, noise, alpha=layer.noise_gain)
    leaky_relu(noise, out[:, layer.channels :])


def leaky_relu(x: torch.Tensor, out: torch.Tensor) -> None:
    """Leaky ReLU of x, which is used up, into out, which may hold more channels per pixel."""
    if x.dtype == torch.float32:
        torch.ops.aten.leaky_relu.out(x, ops.SLOPE, out=out)
    else:  # copying into part of the channels is vectorised, half-precision arithmetic is not
        out.copy_(F.leaky_relu_(x, ops.SLOPE))


def _empty(channels: int, rows: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(1, channels, rows, width, dtype=dtype, memory_format=torch.channels_last)
