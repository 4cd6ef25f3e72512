"""Draw frames, points and lines into an image.

Each shape blends a colour into the image by an opacity in [0, 1], so no value leaves [0, 1].
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[float, float, float]

DARK: Colour = (0.05, 0.05, 0.05)
HALO = 0.55
"""Opacity of the dark rim around a mark. It lets a bright mark stand out on a light background."""


def blend(canvas: torch.Tensor, left: int, top: int, mask: torch.Tensor, colour: Colour) -> None:
    """Blend a colour into the image, in place; parts outside the image are left out.

    Args:
        canvas: [3, H, W] RGB in [0, 1], on the CPU.
        left: column of the mask's first column, px.
        top: row of the mask's first row, px.
        mask: [h, w], opacity in [0, 1].
        colour: RGB in [0, 1].
    """
    mask = mask[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    part = canvas[:, top : top + mask.shape[0], left : left + mask.shape[1]]
    if part.numel():
        mask = mask[: part.shape[1], : part.shape[2]]
        part.lerp_(_make_column(colour), mask)


def fill(canvas: torch.Tensor, box: Sequence[int], colour: Colour, opacity: float = 1.0) -> None:
    """Fill a rectangle (x0, y0, x1, y1) in whole px, in place."""
    x0, y0, x1, y1 = (max(0, value) for value in box)
    canvas[:, y0:y1, x0:x1].lerp_(_make_column(colour), opacity)


@lru_cache(maxsize=16)
def _make_column(colour: Colour) -> torch.Tensor:
    """Return a colour as [3, 1, 1] float32."""
    return torch.tensor(colour)[:, None, None]


def draw_frame(canvas: torch.Tensor, box: Sequence[float], pen: int, colour: Colour) -> None:
    """Draw a frame just inside a box (x0, y0, x1, y1), with a dark rim just outside, in place."""
    x0, y0, x1, y1 = (round(value) for value in box)
    rim = measure_rim(pen)
    _draw_sides(canvas, (x0 - rim, y0 - rim, x1 + rim, y1 + rim), rim, DARK, HALO)
    _draw_sides(canvas, (x0, y0, x1, y1), pen, colour, 1.0)


def measure_rim(pen: int) -> int:
    """Return the width of the dark rim around a frame, px."""
    return max(1, pen // 2)


def _draw_sides(
    canvas: torch.Tensor, box: Sequence[int], pen: int, colour: Colour, opacity: float
) -> None:
    """Draw four sides that do not overlap, so that each is equally opaque."""
    x0, y0, x1, y1 = box
    top, bottom = min(y0 + pen, y1), max(y1 - pen, y0 + pen)
    left, right = min(x0 + pen, x1), max(x1 - pen, x0 + pen)
    fill(canvas, (x0, y0, x1, top), colour, opacity)
    fill(canvas, (x0, bottom, x1, y1), colour, opacity)
    fill(canvas, (x0, top, left, bottom), colour, opacity)
    fill(canvas, (right, top, x1, bottom), colour, opacity)


def draw_point(canvas: torch.Tensor, point: Sequence[float], radius: float, colour: Colour) -> None:
    """Draw a round point with a dark rim, in place, its centre on the nearest pixel's."""
    # Between pixels, a small point would be a pale smear.
    x, y = (math.floor(value) for value in point)
    rim, disc = _make_discs(round(radius, 1))
    reach = rim.shape[0] // 2
    blend(canvas, x - reach, y - reach, rim, DARK)
    blend(canvas, x - reach, y - reach, disc, colour)


@lru_cache(maxsize=256)
def _make_discs(radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the opacity of a point's rim and of the point, both [2 n + 1, 2 n + 1]."""
    reach = math.ceil(radius + 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    distance = torch.hypot(steps, steps[:, None])
    return _shade(distance, radius)


def _shade(distance: torch.Tensor, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the opacity of the rim and of the mark at a distance from the mark's middle, px."""
    return HALO * (radius + 1.2 - distance).clamp(0, 1), (radius + 0.5 - distance).clamp(0, 1)


def draw_line(
    canvas: torch.Tensor, start: Sequence[float], end: Sequence[float], colour: Colour
) -> None:
    """Draw a thin line with a dark rim between two points (x, y), in place."""
    radius = 0.6
    left, top = (math.floor(min(pair) - 2) for pair in zip(start, end, strict=True))
    right, bottom = (math.ceil(max(pair) + 2) for pair in zip(start, end, strict=True))
    x = torch.arange(left, right) + 0.5 - start[0]
    y = torch.arange(top, bottom)[:, None] + 0.5 - start[1]
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = along_x**2 + along_y**2
    part = ((x * along_x + y * along_y) / max(length, 1e-6)).clamp(0, 1)
    distance = torch.hypot(x - part * along_x, y - part * along_y)
    rim, line = _shade(distance, radius)
    blend(canvas, left, top, rim, DARK)
    blend(canvas, left, top, line, colour)
