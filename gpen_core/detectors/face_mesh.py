"""Faces from MediaPipe's face mesh (468 points, or 478 with the irises)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import MismatchError
from ..faces import Faces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MESH_POINTS = (468, 478)
MESH_LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))
"""Which mesh points make each of the five landmarks; where two are given, their middle.

An eye is the middle of its two corners rather than the iris, which follows the gaze and would
turn the crop with it.
"""


def faces_from_mesh(
    frames: Sequence[Sequence[Mapping[str, Any]]], image_size: tuple[int, int, int]
) -> Faces:
    """The faces of a face mesh.

    Args:
        frames: for each image its faces, each with "landmarks_xy" [468 or 478, 2] and "bbox_xyxy"
            [4] in pixels, and perhaps "score". A row of W pixels spans 0 … W, as with MediaPipe,
            whose points are parts of the image's sides.
        image_size: (B, H, W) of the batch the mesh was found in.

    Raises:
        MismatchError: another number of images or of points, or no face mesh at all.
    """
    if len(frames) != image_size[0]:
        raise MismatchError(
            f"Face landmarks of {len(frames)} images do not fit a batch of {image_size[0]}: "
            "connect the landmarks that were found in these images."
        )
    boxes, landmarks, scores, index = [], [], [], []
    for image, found in enumerate(frames):
        for face in found:
            try:
                box, mesh = (
                    torch.as_tensor(face[name], dtype=torch.float32, device="cpu")
                    for name in ("bbox_xyxy", "landmarks_xy")
                )
                scores.append(float(face.get("score", 1.0)))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise MismatchError(
                    "A face of a face mesh has the numbers bbox_xyxy [4] and landmarks_xy [468 or "
                    f"478, 2], and perhaps a score; found {face!r:.200}."
                ) from error
            if box.shape != (4,):
                raise MismatchError(f"A face's bbox_xyxy is [4], found {list(box.shape)}.")
            boxes.append(box)
            landmarks.append(_five(mesh))
            index.append(image)
    if not boxes:
        return Faces.empty(image_size)
    return Faces(
        boxes=torch.stack(boxes),
        landmarks=torch.stack(landmarks),
        scores=torch.tensor(scores, dtype=torch.float32, device="cpu"),
        image_index=torch.tensor(index, device="cpu"),
        image_size=image_size,
    )


def _five(mesh: torch.Tensor) -> torch.Tensor:
    if mesh.ndim != 2 or len(mesh) not in MESH_POINTS or mesh.shape[1] != 2:
        raise MismatchError(
            f"A face mesh has {MESH_POINTS[0]} or {MESH_POINTS[1]} points (x, y), found "
            f"{list(mesh.shape)}: connect the landmarks of MediaPipe's face landmarker."
        )
    return torch.stack([mesh[list(points)].mean(dim=0) for points in MESH_LANDMARKS])
