"""Merge the faces of several passes over an image, and choose which of them to keep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..errors import DetectorError
from ..faces import Faces

if TYPE_CHECKING:
    from collections.abc import Sequence

SAME_FACE_IOU = 0.4
"""Two boxes with a larger intersection over union are one face."""


def merge(levels: Sequence[Faces], size: tuple[int, int, int]) -> Faces:
    """Merge the faces that several passes found in one image, so that each face remains once.

    Args:
        levels: the faces of each pass, from the coarse scale to the fine one.
        size: (B, H, W) of the batch.
    """
    faces = join(levels, size)
    level = torch.repeat_interleave(
        torch.tensor([len(found) for found in levels], device="cpu")
    ).tolist()
    overlap, inside = compare(faces.boxes)
    order = sorted(range(len(faces)), key=lambda i: (level[i], -float(faces.scores[i])))
    kept: list[int] = []
    for i in order:
        if not kept:
            kept.append(i)
            continue
        best = int(overlap[i, kept].argmax())
        if overlap[i, kept[best]] > SAME_FACE_IOU:
            if level[i] > level[kept[best]]:
                kept[best] = i  # the finer pass places the same face more exactly
        elif not inside[i, kept].any():
            kept.append(i)
    return faces[kept]


def compare(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compare boxes [N, 4] in pairs.

    A face is taken as the ellipse inscribed in its box. If a large face was broken into parts, the
    centre of each part lies in this ellipse. The centre of a head behind a shoulder, seen in a
    corner of the box, does not.

    Returns:
        The intersection over union [N, N], and a mask [N, N] of pairs in which the centre of one
        box lies in the face of the other.
    """
    corner = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = (corner - torch.maximum(boxes[:, None, :2], boxes[:, :2])).clamp(min=0).prod(dim=2)
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides.prod(dim=1)
    overlap = common / (areas[:, None] + areas - common).clamp(min=1e-9)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = (centres[:, None] - centres) / (sides / 2).clamp(min=1e-9)  # [i, j]: i from j
    inside = away.square().sum(dim=2) < 1
    return overlap, inside | inside.T


def filter_faces(
    faces: Faces,
    *,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
) -> Faces:
    """Keep faces as `detect` does; return them by image, and from large to small in each image.

    Args:
        faces: the faces to choose from.
        threshold: the lowest score to keep; None keeps every score.
        min_size: the shorter side in pixels of the smallest box to keep.
        max_faces: the number of faces to keep in each image, the largest first; None keeps all.

    Raises:
        DetectorError: `max_faces` is below 0.
    """
    check_max_faces(max_faces)
    kept = torch.minimum(faces.widths, faces.heights) >= min_size
    if threshold is not None:
        kept &= faces.scores >= threshold
    faces = faces[kept]
    parts = []
    for index in range(faces.image_size[0]):
        part = faces[faces.image_index == index]
        parts.append(part[(part.widths * part.heights).argsort(descending=True)[:max_faces]])
    return join(parts, faces.image_size)


def check_max_faces(max_faces: int | None) -> None:
    """Raise DetectorError unless `max_faces` is None or at least 0."""
    if max_faces is not None and max_faces < 0:
        raise DetectorError(f"max_faces is 0 or more, or None for all; found {max_faces}.")


def clip(faces: Faces) -> Faces:
    """Clip the boxes to the image."""
    _, H, W = faces.image_size
    corner = torch.tensor([W, H, W, H], device="cpu")
    boxes = torch.minimum(faces.boxes.clamp(min=0), corner)
    return replace(faces, boxes=boxes)


def join(parts: Sequence[Faces], size: tuple[int, int, int]) -> Faces:
    """Join the faces of all parts, in order, for a batch of `size` (B, H, W)."""
    parts = [Faces.empty(size), *parts]
    return Faces(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.landmarks for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.image_index for part in parts]),
        size,
    )
