"""Turn parts of a frame into RGB, and add changes of RGB to its planes.

Chroma lies between the rows and on the even columns of luma, as MPEG-2, H.264 and later formats
place it. A change is added, not converted: where a change is 0, the planes stay bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .layouts import ColourTags, Layout, find_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..warp import Rectangle


@dataclass(frozen=True)
class Colours:
    """How the samples of a film's frames code RGB.

    Attributes:
        layout: the format of the planes.
        red, blue: their weights in luma.
        full: samples use all values, instead of 16 … 235.
    """

    layout: Layout
    red: float
    blue: float
    full: bool

    @classmethod
    def of(cls, layout: Layout, tags: ColourTags, height: int) -> Colours:
        """Return the coding that a film's tags state, or that its height implies."""
        return cls(layout, *find_weights(tags, height), full=tags.range == 2)

    @property
    def steps(self) -> tuple[float, float]:
        """Sample steps from black to white, and from the lowest to the highest chroma."""
        if self.full:
            return float(2**self.layout.bits - 1), float(2**self.layout.bits - 1)
        return 219.0 * 2 ** (self.layout.bits - 8), 224.0 * 2 ** (self.layout.bits - 8)

    @property
    def black(self) -> float:
        """The sample of black."""
        return 0.0 if self.full else 16.0 * 2 ** (self.layout.bits - 8)

    def to_rgb(self, planes: Sequence[np.ndarray], rectangle: Rectangle) -> torch.Tensor:
        """Return a rectangle of a frame as [1, 3, h, w] RGB float32 in [0, 1]."""
        luma, chroma = self.steps
        y = _read(planes[0], rectangle).sub_(self.black).div_(luma)
        middle = float(2 ** (self.layout.bits - 1))
        u, v = (self._read_chroma(plane, rectangle).sub_(middle) / chroma for plane in planes[1:])
        red = y + 2 * (1 - self.red) * v
        blue = y + 2 * (1 - self.blue) * u
        green = (y - self.red * red - self.blue * blue) / (1 - self.red - self.blue)
        return torch.stack([red, green, blue]).clamp_(0, 1)[None]

    def add(self, planes: Sequence[np.ndarray], rectangle: Rectangle, change: torch.Tensor) -> None:
        """Add a change of RGB [1, 3, h, w] to a rectangle of writable planes.

        The rectangle's corner lies on a chroma sample; see `align_rectangle`.
        """
        luma, chroma = self.steps
        red, green, blue = change[0]
        y = self.red * red + (1 - self.red - self.blue) * green + self.blue * blue
        left, top, right, bottom = (
            rectangle.left, rectangle.top, rectangle.right, rectangle.bottom,
        )  # fmt: skip
        highest = 2**self.layout.bits - 1
        _add(planes[0][top:bottom, left:right], y * luma, highest)
        across, down = self.layout.across, self.layout.down
        for plane, colour, weight in ((planes[1], blue, self.blue), (planes[2], red, self.red)):
            reduced = _shrink((colour - y) / (2 * (1 - weight)), across, down) * chroma
            part = plane[top // down :, left // across :]
            _add(part[: reduced.shape[0], : reduced.shape[1]], reduced, highest)

    def _read_chroma(self, plane: np.ndarray, rectangle: Rectangle) -> torch.Tensor:
        """Interpolate chroma at the luma samples of a rectangle."""
        across, down = self.layout.across, self.layout.down
        # One sample more on each side, so that the rectangle's border is interpolated, too.
        first_row, first_column = rectangle.top // down - 1, rectangle.left // across - 1
        last_row, last_column = -(-rectangle.bottom // down), -(-rectangle.right // across)
        rows = np.clip(np.arange(first_row, last_row + 1), 0, plane.shape[0] - 1)
        columns = np.clip(np.arange(first_column, last_column + 1), 0, plane.shape[1] - 1)
        part = torch.from_numpy(plane[rows[0] : rows[-1] + 1].astype(np.float32))
        part = part[torch.from_numpy(rows - rows[0])][:, torch.from_numpy(columns)]
        if across == 2:
            part = _interleave(part[:, 1:-1], (part[:, 1:-1] + part[:, 2:]) / 2, dim=1)
        else:
            part = part[:, 1:-1]
        if down == 2:
            above, here, below = part[:-2], part[1:-1], part[2:]
            part = _interleave(here * 0.75 + above * 0.25, here * 0.75 + below * 0.25, dim=0)
        else:
            part = part[1:-1]
        row, column = rectangle.top % down, rectangle.left % across
        return part[row : row + rectangle.height, column : column + rectangle.width].contiguous()


def align_rectangle(rectangle: Rectangle, layout: Layout, width: int, height: int) -> Rectangle:
    """Widen a rectangle to whole chroma samples, within a frame."""
    across, down = layout.across, layout.down
    return rectangle._replace(
        left=max(0, rectangle.left // across * across),
        top=max(0, rectangle.top // down * down),
        right=min(width, -(-rectangle.right // across) * across),
        bottom=min(height, -(-rectangle.bottom // down) * down),
    )


def _read(plane: np.ndarray, rectangle: Rectangle) -> torch.Tensor:
    part = plane[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right]
    return torch.from_numpy(part.astype(np.float32))


def _add(part: np.ndarray, change: torch.Tensor, highest: int) -> None:
    """Add a change to samples, rounded, from 0 to the highest value that they can have."""
    values = part.astype(np.float32) + change.cpu().numpy()
    np.clip(np.rint(values), 0, highest, out=values)
    part[...] = values.astype(part.dtype)


def _interleave(first: torch.Tensor, second: torch.Tensor, dim: int) -> torch.Tensor:
    return torch.stack([first, second], dim=dim + 1).flatten(dim, dim + 1)


def _shrink(values: torch.Tensor, across: int, down: int) -> torch.Tensor:
    """Average values [h, w] around each chroma sample; the last row or column may be single."""
    if down == 2:
        if values.shape[0] % 2:
            values = torch.cat([values, values[-1:]])
        values = (values[0::2] + values[1::2]) / 2
    if across == 2:
        if values.shape[1] % 2:
            values = torch.cat([values, values[:, -1:]], dim=1)
        # [1 2 1] / 4 around the even columns.
        before = torch.cat([values[:, :1], values[:, 1:-1:2]], dim=1)
        values = values[:, 0::2] / 2 + (before + values[:, 1::2]) / 4
    return values
