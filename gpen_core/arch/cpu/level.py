"""Computes one level of the generator in strips of rows; `strips` explains which rows it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import ops
from .workspace import empty_rows

if TYPE_CHECKING:
    from .rgb import AddRGB
    from .styled import SameSize, Upsampling

Rows = Callable[[int, int], torch.Tensor]
"""Returns rows [start, stop) of a feature map as [1, C, stop − start, W]."""


@dataclass(frozen=True)
class Level:
    """The layers of one level, for one face.

    Attributes:
        size: side of the level in pixels, S.
        up: the first layer, which upsamples.
        conv: the second layer.
        add_rgb: computes the level's RGB and adds it to that of the levels below.
        fir_kernel: [4, 4], upsamples the RGB of the levels below.
        noise: the noise of the two layers.
    """

    size: int
    up: Upsampling
    conv: SameSize
    add_rgb: AddRGB
    fir_kernel: torch.Tensor
    noise: tuple[Rows, Rows]

    def run(
        self,
        strips: Iterable[torch.Tensor],
        skip: torch.Tensor,
        rgb: torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Compute strips of the level's output from strips of the level below.

        Args:
            strips: strips [1, I, …, S/2], from the top down.
            skip: RGB [1, 3, S/2, S/2] of the level below, complete down to the last strip read.
            rgb: [1, 3, S, S], the buffer for the RGB.
            out: [1, C, S, S], a buffer for the strips; None allocates each of them.
        """
        top = 0  # the first row that is not yet upsampled
        edge: torch.Tensor | None = None
        for y, before, first, rows in self._transpose(strips):
            if edge is None:
                edge = torch.zeros((), dtype=y.dtype, device="cpu")
                edge = edge.expand(1, self.up.channels_out, 1, self.size + 2)
            bottom = top + rows
            above = edge.shape[2]
            below = int(bottom == self.size)  # a row of zeros follows the level's last row
            start, stop = top - above + 1, bottom + below - 1
            noise = self.noise[0](start, bottom)
            x = empty_rows(self.up.channels_out, above + rows + below, self.size + 2, y.dtype)
            x[:, :, :above] = edge
            x[:, :, above + rows :] = 0
            x[:, :, above:, :: self.size + 1] = 0
            inner = x[:, :, above : above + rows, 1:-1]
            self.up.finish(y, before, first, noise[:, :, top - start :], inner)
            edge = x[:, :, -2:].clone()

            if self.noise[1] is not self.noise[0]:
                noise = self.noise[1](start, stop)
            if out is None:
                y = empty_rows(self.conv.channels_out, stop - start, self.size, y.dtype)
            else:
                y = out[:, :, start:stop]
            self.conv.run(x, noise[:, :, : stop - start], y)
            upsampled = _upsample_rgb(skip, self.fir_kernel, start, stop)
            self.add_rgb(y, upsampled, rgb[:, :, start:stop])
            yield y
            top = bottom

    def _transpose(
        self, strips: Iterable[torch.Tensor]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, int, int]]:
        """Apply the transposed convolution to every strip.

        The last row of a strip's result and the first row of the next are the same row of the
        level, to which both strips add. So the last row is kept until the next strip completes it,
        together with the three rows before it, which the FIR reads again.

        Yields:
            the arguments y, before and first of `styled.Finish`, and the number of rows of the
            level that they suffice for.
        """
        read = 0
        before: torch.Tensor | None = None
        for x in strips:
            y = self.up.transpose(x)
            if before is None:
                before = empty_rows(y.shape[1], 4, y.shape[3], y.dtype).zero_()
            y[:, :, :1] += before[:, :, 3:]
            first = 0 if read else 2  # FIR rows 0 and 1 of the first strip lie above the level
            read += x.shape[2]
            stop = 2 * x.shape[2] + (2 if 2 * read == self.size else 0)
            yield y, before[:, :, :3], first, stop - first
            before = y[:, :, -4:].clone(memory_format=torch.channels_last)


def _upsample_rgb(rgb: torch.Tensor, kernel: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Return rows [start, stop) of the upsampled RGB."""
    first, last = max(start // 2 - 1, 0), min((stop + 1) // 2 + 1, rgb.shape[2])
    upsampled = ops.fir_upsample(rgb[:, :, first:last], kernel)
    return upsampled[:, :, start - 2 * first : stop - 2 * first]
