"""Draw detected faces as numbered boxes and landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .faces import Faces

BOX_COLOUR = (0.20, 0.90, 0.45)
LANDMARK_COLOUR = (1.00, 0.85, 0.10)
MISSED_COLOUR = (1.00, 0.25, 0.20)
PLATE_COLOUR = (0.05, 0.05, 0.05)

DIGITS = (
    "111101101101111",
    "010110010010111",
    "111001111100111",
    "111001111001111",
    "101101111001001",
    "111100111001111",
    "111100111101111",
    "111001010010010",
    "111101111101111",
    "111101111001111",
)
"""The digits 0 … 9 in 3 × 5 dots, row by row. They need no font and look the same everywhere."""


def draw_faces(
    image: torch.Tensor,
    faces: Faces,
    *,
    missed: Sequence[tuple[int, Sequence[float]]] = (),
    max_side: int | None = 1024,
) -> torch.Tensor:
    """Return a copy of the images with each face's box, landmarks and number.

    Each image numbers its faces from 0, as `select_faces` does.

    Args:
        image: [B, 3, H, W] RGB in [0, 1].
        faces: the faces in that batch. Faces whose image index is B or more are not drawn.
        missed: boxes in which the detector found no face, each (image index, (x0, y0, x1, y1)).
            They are drawn in red.
        max_side: px; images with a longer side are shrunk to it. None keeps the size.

    Returns:
        [B, 3, h, w] RGB in [0, 1].
    """
    height, width = image.shape[-2:]
    scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = (
        F.interpolate(image.float(), size, mode="bilinear", antialias=True)
        if scale < 1
        else image.float().clone()
    )
    pen = max(1, round(max(size) / 250))
    numbers = dict.fromkeys(range(len(canvas)), 0)
    for row in range(len(faces)):
        frame = int(faces.image_index[row])
        if frame not in numbers:
            continue
        box = [value * scale for value in faces.boxes[row].tolist()]
        _draw_box(canvas[frame], box, BOX_COLOUR, pen)
        for x, y in (faces.landmarks[row] * scale).tolist():
            _fill(canvas[frame], (x - pen, y - pen, x + pen, y + pen), LANDMARK_COLOUR)
        # Large enough to read on a small node, but no wider than a face in a crowd.
        dot = max(1, min(2 * pen, round((box[2] - box[0]) / 16)))
        draw_number(canvas[frame], numbers[frame], box[0], box[1], dot)
        numbers[frame] += 1
    for frame, box in missed:
        if frame in numbers:
            _draw_box(canvas[frame], [value * scale for value in box], MISSED_COLOUR, pen)
    return canvas


def _draw_box(
    canvas: torch.Tensor, box: Sequence[float], colour: tuple[float, ...], pen: int
) -> None:
    x0, y0, x1, y1 = box
    for side in (
        (x0, y0, x1, y0 + pen),
        (x0, y1 - pen, x1, y1),
        (x0, y0, x0 + pen, y1),
        (x1 - pen, y0, x1, y1),
    ):
        _fill(canvas, side, colour)


def draw_number(canvas: torch.Tensor, number: int, x: float, y: float, dot: int) -> None:
    """Draw a number on a dark plate above (x, y), in place; the plate is moved inside the image.

    Args:
        canvas: [3, H, W] RGB in [0, 1].
        number: from 0.
        x: left edge of the plate, px.
        y: lower edge of the plate, px.
        dot: side of a digit's dot, px.
    """
    text = str(number)
    width, height = (4 * len(text) + 1) * dot, 7 * dot
    left = min(max(round(x), 0), max(0, canvas.shape[-1] - width))
    top = max(round(y) - height, 0)
    _fill(canvas, (left, top, left + width, top + height), PLATE_COLOUR)
    for place, digit in enumerate(text):
        for cell, on in enumerate(DIGITS[int(digit)]):
            if on == "1":
                dot_x = left + (1 + 4 * place + cell % 3) * dot
                dot_y = top + (1 + cell // 3) * dot
                _fill(canvas, (dot_x, dot_y, dot_x + dot, dot_y + dot), BOX_COLOUR)


def _fill(canvas: torch.Tensor, box: Sequence[float], colour: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = (max(0, round(value)) for value in box)
    canvas[:, y0:y1, x0:x1] = canvas.new_tensor(colour)[:, None, None]
