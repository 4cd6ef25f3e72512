from __future__ import annotations

import numpy as np
import pytest
import torch

from gpen_core.detectors.face_mesh import faces_from_mesh
from gpen_core.errors import MismatchError


def mesh(points=478):
    """A mesh in which point i lies at (i, 2 i)."""
    index = np.arange(points, dtype=np.float32)
    xy = np.stack([index, 2 * index], axis=1)
    return {"landmarks_xy": xy, "bbox_xyxy": np.array([1, 2, 3, 4], np.float32), "score": 0.75}


@pytest.mark.parametrize("points", [468, 478])
def test_the_five_landmarks_are_picked_from_the_mesh(points):
    faces = faces_from_mesh([[mesh(points)]], (1, 900, 900))
    x = torch.tensor([(33 + 133) / 2, (362 + 263) / 2, 1, 61, 291])
    assert torch.equal(faces.landmarks[0], torch.stack([x, 2 * x], dim=1))
    assert faces.boxes.tolist() == [[1, 2, 3, 4]]
    assert faces.scores.tolist() == [0.75]


def test_faces_remember_their_image_and_frames_may_be_empty():
    faces = faces_from_mesh([[], [mesh(), mesh()], []], (3, 900, 900))
    assert faces.image_index.tolist() == [1, 1]
    assert len(faces_from_mesh([[], []], (2, 8, 8))) == 0


def test_a_mesh_of_another_batch_is_refused_with_both_numbers():
    with pytest.raises(MismatchError, match="2 images do not fit a batch of 3"):
        faces_from_mesh([[], []], (3, 8, 8))


def test_a_mesh_of_another_shape_is_refused():
    with pytest.raises(MismatchError, match=r"468 or 478 points.*\[68, 2\]"):
        faces_from_mesh([[mesh(68)]], (1, 900, 900))


@pytest.mark.parametrize(
    "face",
    [
        {},
        {"bbox_xyxy": torch.zeros(4)},
        {"bbox_xyxy": torch.zeros(5), "landmarks_xy": torch.zeros(468, 2)},
        {"bbox_xyxy": torch.zeros(4), "landmarks_xy": torch.zeros(468, 2), "score": None},
        None,
    ],
    ids=["empty", "no landmarks", "another box", "another score", "no face"],
)
def test_a_value_that_is_no_face_of_a_mesh_is_refused(face):
    with pytest.raises(MismatchError, match="bbox_xyxy"):
        faces_from_mesh([[face]], (1, 9, 9))
