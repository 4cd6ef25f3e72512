"""One list of faces from the several passes over an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..faces import Faces

if TYPE_CHECKING:
    from collections.abc import Sequence

SAME_FACE_IOU = 0.4
"""Boxes overlapping more than this are one face."""


def merge(levels: Sequence[Faces], size: tuple[int, int, int]) -> Faces:
    """Each face of one image once, from what its passes found, coarse to fine."""
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
                kept[best] = i  # the finer pass places the face that the coarser one found
        elif not inside[i, kept].any():
            kept.append(i)
    return faces[kept]


def compare(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For boxes [N, 4], intersection over union [N, N], and whether one lies in another's face.

    A face is the ellipse inscribed in its box. Of a large face broken into parts, the centres lie
    in it; of a head behind its shoulder, seen in a corner of its box, the centre does not.
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


def clip(faces: Faces) -> Faces:
    """The same faces, their boxes cut at the image's border."""
    _, H, W = faces.image_size
    limit = torch.tensor([W, H, W, H], device="cpu")
    boxes = torch.minimum(faces.boxes.clamp(min=0), limit)
    return replace(faces, boxes=boxes)


def join(parts: Sequence[Faces], size: tuple[int, int, int]) -> Faces:
    """All the faces of the parts, in order."""
    parts = [Faces.empty(size), *parts]
    return Faces(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.landmarks for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.image_index for part in parts]),
        size,
    )
