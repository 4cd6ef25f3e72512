"""Mark detected faces in their image: box, landmarks and number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from .drawing import Colour, draw_frame, draw_line, draw_point, measure_rim
from .lettering import draw_label, measure_label
from .places import find_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..faces import Faces

    Missed = Sequence[tuple[int, Sequence[float]]]

BOX_COLOUR: Colour = (0.20, 0.90, 0.45)
LANDMARK_COLOUR: Colour = (1.00, 0.85, 0.10)
MISSED_COLOUR: Colour = (1.00, 0.25, 0.20)

MAX_SIDE = 1600
"""Longer side of a preview, px. Larger images are shrunk to it."""
SMALLEST_FONT = 12
"""Size of the smallest number's font, px: its digits are 9 px high."""


def draw_faces(
    image: torch.Tensor,
    faces: Faces,
    *,
    missed: Missed = (),
    max_side: int | None = MAX_SIDE,
    first: int = 0,
) -> torch.Tensor:
    """Return a copy of the images with each face's box, landmarks and number.

    Each image numbers its faces from `first`, by default from 0 as `select_faces` does. Lines,
    points and numbers grow with their face. A number stands where it covers no face, if there is
    such a place near its own.

    Args:
        image: [B, 3, H, W] RGB in [0, 1]. Values beyond are clamped.
        faces: the faces in that batch. Faces whose image index is B or more are not drawn.
        missed: boxes in which the detector found no face, each (image index, (x0, y0, x1, y1)).
            They are drawn in red.
        max_side: px; images with a longer side are shrunk to it. None keeps the size.
        first: the number of each image's first face.

    Returns:
        [B, 3, h, w] RGB in [0, 1], float32 on the CPU.
    """
    scale = measure_scale(image, max_side)
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    canvas = image.detach().float()
    if scale < 1:
        canvas = F.interpolate(canvas, size, mode="bilinear", antialias=True)
    canvas = canvas.nan_to_num(0, 1, 0).clamp(0, 1).cpu()  # a copy, even if nothing was to change
    numbers = number_faces(faces.image_index)
    for index, picture in enumerate(canvas):
        red = torch.tensor([[*box] for frame, box in missed if frame == index]).reshape(-1, 4)
        rows = (faces.image_index == index).nonzero()[:, 0]
        labels = [str(first + numbers[row]) for row in rows.tolist()]
        _mark(
            picture, faces.boxes[rows] * scale, faces.landmarks[rows] * scale, labels, red * scale
        )
    return canvas


def measure_scale(image: torch.Tensor, max_side: int | None) -> float:
    """Return the factor by which `draw_faces` shrinks an image, 1 if it does not."""
    return 1.0 if max_side is None else min(1.0, max_side / max(image.shape[-2:]))


def number_faces(image_index: torch.Tensor) -> list[int]:
    """Number faces from 0 in each image, in their order."""
    seen: dict[int, int] = {}
    numbers = []
    for image in image_index.tolist():
        numbers.append(seen.get(image, 0))
        seen[image] = numbers[-1] + 1
    return numbers


def _mark(
    canvas: torch.Tensor,
    boxes: torch.Tensor,
    landmarks: torch.Tensor,
    labels: list[str],
    missed: torch.Tensor,
) -> None:
    """Mark the faces of one image, [3, H, W] in place. Numbers come last, over everything else."""
    for box in missed.tolist():
        draw_frame(canvas, box, _choose_pen(min(box[2] - box[0], box[3] - box[1])), MISSED_COLOUR)
    sides = (boxes[:, 2:] - boxes[:, :2]).amin(dim=1).tolist()
    rows = zip(boxes.tolist(), landmarks.tolist(), sides, strict=True)
    for box, points, side in rows:
        draw_frame(canvas, box, _choose_pen(side), BOX_COLOUR)
        for point in points:
            draw_point(canvas, point, 0.6 + side / 100, LANDMARK_COLOUR)
    _number(canvas, boxes, labels, missed)


def _number(
    canvas: torch.Tensor, boxes: torch.Tensor, labels: list[str], missed: torch.Tensor
) -> None:
    """Write each box's label where it hides no face, [3, H, W] in place."""
    height, width = canvas.shape[1:]
    sides = (boxes[:, 2:] - boxes[:, :2]).amin(dim=1).tolist()
    largest = max(SMALLEST_FONT, max(height, width) // 32)
    fonts = [min(max(SMALLEST_FONT, round(side * 0.3)), largest) for side in sides]
    sizes = [measure_label(text, font) for text, font in zip(labels, fonts, strict=True)]
    rims = np.array([measure_rim(_choose_pen(side)) for side in sides]).reshape(-1, 1)
    corners = boxes.round().numpy()
    around = np.concatenate([corners[:, :2] - rims, corners[:, 2:] + rims], axis=1)
    places = find_places(
        around, np.array(sizes).reshape(-1, 2), missed.numpy(), (height, width)
    ).tolist()
    for place, box in zip(places, around.tolist(), strict=True):
        _connect(canvas, place, box)
    for place, text, font in zip(places, labels, fonts, strict=True):
        draw_label(canvas, text, place[0], place[1], font)


def _choose_pen(side: float) -> int:
    return 1 + int(side // 130)


def _connect(canvas: torch.Tensor, place: Sequence[int], box: Sequence[float]) -> None:
    """Draw a line from a number to its box if it does not stand beside it."""
    start, end = [], []
    for low, high, box_low, box_high in zip(place[:2], place[2:], box[:2], box[2:], strict=True):
        middle = (max(low, box_low) + min(high, box_high)) / 2
        start.append(min(max(middle, low), high))
        end.append(min(max(middle, box_low), box_high))
    if max(abs(a - b) for a, b in zip(start, end, strict=True)) > 3:
        draw_line(canvas, start, end, BOX_COLOUR)
