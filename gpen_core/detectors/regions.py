"""Find faces only inside given boxes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..errors import MismatchError
from ..names import TURNS
from .detection import detect
from .merging import filter_faces, join, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..faces import Faces
    from ..progress import OnProgress
    from .protocol import Detector

CONTEXT = 0.5
"""Margin around a box, as a part of its side. Detectors often miss a face that is cut closely."""


class Missed(NamedTuple):
    """A box without a face: the index of its image, and x0 y0 x1 y1 in pixels."""

    image_index: int
    box: tuple[float, float, float, float]


def detect_in_boxes(
    detector: Detector,
    image: torch.Tensor,
    boxes: Sequence[torch.Tensor],
    *,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
    on_progress: OnProgress | None = None,
    min_face: float = 0,
    turns: str = TURNS[0],
) -> tuple[Faces, list[Missed]]:
    """Find the faces whose centre lies in a box, each once, and the boxes without a face.

    Args:
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device.
        boxes: for each of the B images [K, 4], x0 y0 x1 y1 in pixels.
        threshold, min_size, max_faces, min_face, turns: see `detect`.
        on_progress: called with (done, total) after every box; may raise to cancel.

    Raises:
        MismatchError: the number of images in `boxes` differs from B, or `boxes` holds no boxes.
    """
    size = (len(image), image.shape[-2], image.shape[-1])
    _check_boxes(boxes, size[0])
    done, total = 0, sum(map(len, boxes))
    found = []
    for index, frame_boxes in enumerate(boxes):
        levels = []
        for box in frame_boxes.tolist():
            left, top, right, bottom = _add_context(box, *size[1:])
            region = image[index : index + 1, :, top:bottom, left:right]
            faces = detect(
                detector,
                region,
                threshold=threshold,
                min_size=min_size,
                min_face=min_face,
                turns=turns,
            )
            corner = torch.tensor([left, top], device="cpu")
            levels.append(
                replace(
                    faces,
                    boxes=(faces.boxes.view(-1, 2, 2) + corner).view(-1, 4),
                    landmarks=faces.landmarks + corner,
                    image_index=faces.image_index + index,
                    image_size=size,
                )
            )
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        if levels:
            found.append(merge(levels, size))
    faces, missed = keep_in_boxes(join(found, size), boxes)
    return filter_faces(faces, max_faces=max_faces), missed


def keep_in_boxes(faces: Faces, boxes: Sequence[torch.Tensor]) -> tuple[Faces, list[Missed]]:
    """Keep the faces whose centre lies in a box of their image; return the boxes without one too.

    Args:
        faces: the faces to choose from.
        boxes: for each image of the batch [K, 4], x0 y0 x1 y1 in pixels.

    Raises:
        MismatchError: the number of images differs, or `boxes` holds no boxes.
    """
    _check_boxes(boxes, faces.image_size[0])
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    kept = torch.zeros(len(faces), dtype=torch.bool, device="cpu")
    missed = []
    for index, frame_boxes in enumerate(boxes):
        for box in frame_boxes:
            inside = ((centres >= box[:2]) & (centres <= box[2:])).all(dim=1)
            inside &= faces.image_index == index
            if not inside.any():
                missed.append(Missed(index, tuple(box.tolist())))
            kept |= inside
    return faces[kept], missed


def _add_context(box: Sequence[float], height: int, width: int) -> tuple[int, int, int, int]:
    """Add `CONTEXT` to a box, in whole pixels, and clip it to the image."""
    x0, y0, x1, y1 = box
    margin_x, margin_y = CONTEXT * (x1 - x0), CONTEXT * (y1 - y0)
    left, right = max(0, math.floor(x0 - margin_x)), min(width, math.ceil(x1 + margin_x))
    top, bottom = max(0, math.floor(y0 - margin_y)), min(height, math.ceil(y1 + margin_y))
    return left, top, max(left, right), max(top, bottom)


def _check_boxes(boxes: Sequence[torch.Tensor], count: int) -> None:
    if len(boxes) != count:
        raise MismatchError(f"Boxes for {len(boxes)} images do not fit a batch of {count}.")
    for index, image_boxes in enumerate(boxes):
        if image_boxes.ndim != 2 or image_boxes.shape[1] != 4 or not image_boxes.isfinite().all():
            raise MismatchError(
                f"The boxes of image {index} must be [K, 4], x0 y0 x1 y1, without NaN or infinity; "
                f"found {list(image_boxes.shape)} {image_boxes.flatten()[:8].tolist()}."
            )
