"""Look for faces only inside given boxes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..errors import MismatchError
from .scales import check_max_faces, detect, join, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..faces import Faces
    from ..progress import OnProgress
    from .protocol import Detector

CONTEXT = 0.5
"""Part of a box's side added on each of its sides: detectors find little in a face cut close."""


class Missed(NamedTuple):
    """A box in which no face was found: its image, and x0 y0 x1 y1 in pixels."""

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
) -> tuple[Faces, list[Missed]]:
    """The faces whose centre lies in a box, each once, and the boxes without any.

    Args:
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device.
        boxes: for each of the B images [K, 4], x0 y0 x1 y1 in pixels.
        threshold, min_size, max_faces: as in `detect`.
        on_progress: called with (done, total) after every box; may raise to cancel.

    Raises:
        MismatchError: boxes for another number of images, or that are none.
    """
    size = (len(image), image.shape[-2], image.shape[-1])
    _check_boxes(boxes, size[0])
    done, total = 0, sum(map(len, boxes))
    found = []
    for index, frame_boxes in enumerate(boxes):
        levels = []
        for box in frame_boxes.tolist():
            left, top, right, bottom = _surroundings(box, *size[1:])
            region = image[index : index + 1, :, top:bottom, left:right]
            faces = detect(detector, region, threshold=threshold, min_size=min_size)
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
    return limit_faces(faces, max_faces=max_faces), missed


def keep_in_boxes(faces: Faces, boxes: Sequence[torch.Tensor]) -> tuple[Faces, list[Missed]]:
    """The faces whose centre lies in a box of their image, and the boxes without any.

    Args:
        boxes: for each image of the batch [K, 4], x0 y0 x1 y1 in pixels.

    Raises:
        MismatchError: boxes for another number of images, or that are none.
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


def limit_faces(
    faces: Faces,
    *,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
) -> Faces:
    """The faces that `detect` would keep, in its order: by image and then from large to small.

    Args:
        threshold: lowest score kept.
        min_size: shorter side in pixels of the smallest box kept.
        max_faces: keep only so many in each image, the largest.

    Raises:
        DetectorError: `max_faces` is below 0.
    """
    check_max_faces(max_faces)
    allowed = torch.minimum(faces.widths, faces.heights) >= min_size
    if threshold is not None:
        allowed &= faces.scores >= threshold
    faces = faces[allowed]
    parts = []
    for index in range(faces.image_size[0]):
        part = faces[faces.image_index == index]
        parts.append(part[(part.widths * part.heights).argsort(descending=True)[:max_faces]])
    return join(parts, faces.image_size)


def _surroundings(box: Sequence[float], height: int, width: int) -> tuple[int, int, int, int]:
    """The box and its context in whole pixels, cut at the image's border."""
    x0, y0, x1, y1 = box
    margin_x, margin_y = CONTEXT * (x1 - x0), CONTEXT * (y1 - y0)
    left, right = max(0, math.floor(x0 - margin_x)), min(width, math.ceil(x1 + margin_x))
    top, bottom = max(0, math.floor(y0 - margin_y)), min(height, math.ceil(y1 + margin_y))
    return left, top, max(left, right), max(top, bottom)


def _check_boxes(boxes: Sequence[torch.Tensor], count: int) -> None:
    if len(boxes) != count:
        raise MismatchError(f"Boxes for {len(boxes)} images do not fit a batch of {count}.")
    for index, own in enumerate(boxes):
        if own.ndim != 2 or own.shape[1] != 4 or not own.isfinite().all():
            raise MismatchError(
                f"The boxes of image {index} must be [K, 4], x0 y0 x1 y1, without NaN or infinity; "
                f"found {list(own.shape)} {own.flatten()[:8].tolist()}."
            )
