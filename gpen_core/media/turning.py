"""Turn pictures upright, and points in them with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_TURNED, _ROWS_FLIPPED, _COLUMNS_FLIPPED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)
"""EXIF orientations whose samples are transposed, and then flipped, to show the picture upright."""


@dataclass(frozen=True)
class Turn:
    """The way from a stored picture to an upright one, perhaps of another size.

    Attributes:
        orientation: the EXIF orientation (1 … 8) of the stored picture.
        before: (width, height) of the stored picture; None if nobody knows.
        after: (width, height) of the upright picture.
    """

    orientation: int
    before: tuple[int, int] | None
    after: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) output pixels per pixel of the upright picture before it was resized."""
        if self.before is None:
            return 1.0, 1.0
        width, height = self.move_extent(*self.before)
        return self.after[0] / width, self.after[1] / height

    def move_extent(self, width: float, height: float) -> tuple[float, float]:
        """Return (width, height) as they lie after turning, not resized."""
        return (height, width) if self.orientation in _TURNED else (width, height)

    def move_share(self, x: float, y: float) -> tuple[float, float]:
        """Move a point given as shares (0 … 1) of the width and the height."""
        x, y = self.move_extent(x, y)
        if self.orientation in _COLUMNS_FLIPPED:
            x = 1 - x
        if self.orientation in _ROWS_FLIPPED:
            y = 1 - y
        return x, y

    def move_point(self, x: float, y: float) -> tuple[float, float]:
        """Move a point given in pixels of the stored picture to pixels of the output."""
        if self.before is None:
            return x, y
        x, y = self.move_share(x / self.before[0], y / self.before[1])
        return x * self.after[0], y * self.after[1]

    def resize_extent(self, width: float, height: float) -> tuple[float, float]:
        """Return (width, height) in pixels of the output."""
        width, height = self.move_extent(width, height)
        return width * self.scale[0], height * self.scale[1]


def turn_upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of samples [H, W, C], turned as the EXIF orientation (1 … 8) asks."""
    if orientation in _TURNED:
        samples = samples.transpose(1, 0, 2)
    rows = -1 if orientation in _ROWS_FLIPPED else 1
    columns = -1 if orientation in _COLUMNS_FLIPPED else 1
    return samples[::rows, ::columns]
