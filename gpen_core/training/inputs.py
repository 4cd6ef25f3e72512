"""The network's inputs, made from degraded faces as the task of a run asks."""

from __future__ import annotations

import math

import torch

from ..degradation.draws import seed_generator
from ..devices import to_device
from ..names import COLORIZE, INPAINT, RESTORE
from ..sharpen import luma

TRAINED_TASKS = (RESTORE, COLORIZE, INPAINT)
"""The tasks that `gpen train` offers."""

HOLE_SEED = 0x401E5
"""Is added to a seed for the draws of holes."""

MOST_HOLES = 3
STROKE_POINTS = 5


def make_inputs(faces: torch.Tensor, task: str, *, seed: int, first: int = 0) -> torch.Tensor:
    """Return the network's inputs [N, 3, S, S] for degraded faces of the same form in [0, 1].

    Args:
        faces: the faces; the result shares their memory where the task changes nothing.
        task: "restore" changes nothing, "colorize" takes the colour away, "inpaint" fills random
            holes with white.
        seed: a whole number; the same seed gives the same holes.
        first: number of the first face, when these are a part of a larger batch.
    """
    if task == COLORIZE:
        return luma(faces).expand(-1, 3, -1, -1).contiguous()
    if task == INPAINT:
        holes = draw_holes(first + len(faces), faces.shape[-1], seed=seed)[first:]
        return torch.where(to_device(holes, faces.device), 1, faces)
    return faces


def draw_holes(count: int, size: int, *, seed: int) -> torch.Tensor:
    """Draw 1 … 3 holes in each of `count` faces, half of them rectangles, half brush strokes.

    Returns:
        [count, 1, size, size] bool on the CPU.
    """
    # Every hole takes the same count of numbers, so that a face's holes depend on no other face.
    uniform = torch.rand(
        count,
        MOST_HOLES,
        3 + 3 * STROKE_POINTS,
        generator=seed_generator(seed + HOLE_SEED),
        dtype=torch.float32,
        device="cpu",
    )
    y, x = torch.meshgrid(*[torch.arange(size, device="cpu") + 0.5] * 2, indexing="ij")
    holes = torch.zeros(count, 1, size, size, dtype=torch.bool, device="cpu")
    for face, numbers in zip(holes, uniform.tolist(), strict=True):
        for place, (kind, exists, width, *steps) in enumerate(numbers):
            if place and exists < 0.5:
                continue
            if kind < 0.5:
                left, top, across, down = (size * number for number in steps[:4])
                right, bottom = left + 0.1 * size + 0.4 * across, top + 0.1 * size + 0.4 * down
                face[0] |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
            else:
                _draw_stroke(face[0], x, y, steps, size * (0.01 + 0.05 * width))
    return holes


def _draw_stroke(
    hole: torch.Tensor, x: torch.Tensor, y: torch.Tensor, steps: list[float], radius: float
) -> None:
    """Mark the pixels near a line of straight pieces, each turned against the one before."""
    size = len(hole)
    at_x, at_y, angle = size * steps[0], size * steps[1], 2 * math.pi * steps[2]
    for turn, length in zip(steps[3::3], steps[4::3], strict=True):
        angle += math.pi * (turn - 0.5)
        across, down = math.cos(angle), math.sin(angle)
        reach = size * (0.05 + 0.25 * length)
        along = ((x - at_x) * across + (y - at_y) * down).clamp(0, reach)
        hole |= torch.hypot(x - at_x - along * across, y - at_y - along * down) < radius
        at_x, at_y = at_x + reach * across, at_y + reach * down
