"""Convert MediaPipe's face mesh (468 points, or 478 with the irises) to `Faces`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import MismatchError
from ..faces import Faces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MESH_POINTS = (468, 478)
MESH_LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))
"""The mesh points of each landmark, or two points whose middle is the landmark.

An eye is the middle of its two corners. The iris would follow the gaze and turn the crop with it.
"""


def faces_from_mesh(
    frames: Sequence[Sequence[Mapping[str, Any]]], image_size: tuple[int, int, int]
) -> Faces:
    """Convert the faces of a face mesh.

    Args:
        frames: for each image its faces, each with "landmarks_xy" [468 or 478, 2] and "bbox_xyxy"
            [4] in pixels, and optionally "score". A row of W pixels spans 0 … W. MediaPipe has the
            same convention: its points are fractions of the image's sides.
        image_size: (B, H, W) of the batch in which the mesh was found.

    Raises:
        MismatchError: the number of images or points is wrong, or a value is no face mesh.
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
                    "A face of a face mesh has bbox_xyxy [4] and landmarks_xy [468 or 478, 2], and "
                    f"optionally a score; found {face!r:.200}."
                ) from error
            if box.shape != (4,):
                raise MismatchError(f"bbox_xyxy of a face must be [4], found {list(box.shape)}.")
            boxes.append(box)
            landmarks.append(_pick_landmarks(mesh))
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


def _pick_landmarks(mesh: torch.Tensor) -> torch.Tensor:
    """Pick the five landmarks [5, 2] from a mesh [468 or 478, 2]."""
    if mesh.ndim != 2 or len(mesh) not in MESH_POINTS or mesh.shape[1] != 2:
        raise MismatchError(
            f"A face mesh has {MESH_POINTS[0]} or {MESH_POINTS[1]} points (x, y), found "
            f"{list(mesh.shape)}: connect the landmarks of MediaPipe's face landmarker."
        )
    return torch.stack([mesh[list(points)].mean(dim=0) for points in MESH_LANDMARKS])
