"""Faces of several passes become one list; the faces to keep are chosen from it."""

from __future__ import annotations

import pytest
import torch

from gpen_core.detectors.merging import filter_faces, merge
from gpen_core.errors import DetectorError
from gpen_core.faces import Faces


def faces_of(boxes, scores=None) -> Faces:
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return Faces(
        boxes,
        centres[:, None].expand(-1, 5, 2),
        torch.ones(len(boxes)) if scores is None else torch.tensor(scores),
        torch.zeros(len(boxes)),
        (1, 1000, 1000),
    )


def test_the_parts_of_a_large_face_are_dropped():
    coarse = faces_of([[100, 100, 500, 600]], [0.9])
    fine = faces_of([[200, 200, 300, 300], [320, 250, 420, 360], [700, 700, 760, 770]], [0.99] * 3)
    merged = merge([coarse, fine], (1, 1000, 1000))
    assert merged.boxes.tolist() == [[100, 100, 500, 600], [700, 700, 760, 770]]


def test_the_finer_pass_places_a_face_and_keeps_its_neighbours():
    coarse = faces_of([[100, 100, 140, 150]], [0.99])
    fine = faces_of([[104, 103, 141, 149], [145, 100, 185, 150], [80, 70, 112, 108]], [0.8] * 3)
    merged = merge([coarse, fine], (1, 1000, 1000))
    assert sorted(merged.boxes.tolist()) == sorted(fine.boxes.tolist())


def test_merging_keeps_the_highest_score_of_each_face_in_a_pass():
    found = faces_of([[0, 0, 50, 50], [2, 1, 51, 52], [20, 20, 30, 30]], [0.8, 0.9, 0.85])
    merged = merge([found], (1, 1000, 1000))
    assert merged.boxes.tolist() == [[2, 1, 51, 52]]
    assert len(merge([Faces.empty((1, 9, 9))], (1, 9, 9))) == 0


def test_faces_are_kept_by_image_from_large_to_small():
    faces = Faces(
        boxes=torch.tensor([[0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 20, 20], [0, 0, 40, 40]]),
        landmarks=torch.zeros(4, 5, 2),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6]),
        image_index=torch.tensor([1, 0, 0, 1]),
        image_size=(2, 50, 50),
    )
    widths = [int(w) for w in filter_faces(faces).widths]
    assert widths == [30, 20, 40, 10]
    assert [int(w) for w in filter_faces(faces, max_faces=1).widths] == [30, 40]
    with pytest.raises(DetectorError, match="found -1"):
        filter_faces(faces, max_faces=-1)
    assert [int(w) for w in filter_faces(faces, min_size=20).widths] == [30, 20, 40]
    assert [int(w) for w in filter_faces(faces, threshold=0.75).widths] == [30, 10]
