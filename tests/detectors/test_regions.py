from __future__ import annotations

import importlib

import pytest
import torch
from node_fixtures import KnownFaces, draw_scene

from gpen_core.detectors.regions import detect_in_boxes, keep_in_boxes
from gpen_core.errors import MismatchError
from gpen_core.faces import Faces


@pytest.fixture
def detector():
    return KnownFaces(lambda name: importlib.import_module(f"gpen_core.{name}"))


@pytest.fixture
def image():
    """Two frames [2, 3, 96, 200] with faces of 48 px at x = 10, 80 and at x = 120, y = 20."""
    return draw_scene([10, 80], [120]).movedim(-1, 1)


def boxes(*frames):
    return [torch.tensor(frame, dtype=torch.float32).reshape(-1, 4) for frame in frames]


def places(faces):
    return [
        (int(index), int(x)) for index, x in zip(faces.image_index, faces.boxes[:, 0], strict=True)
    ]


def test_only_faces_whose_centre_lies_in_a_box_are_found(detector, image):
    faces, missed = detect_in_boxes(detector, image, boxes([[0, 0, 60, 96]], [[100, 0, 200, 96]]))
    assert places(faces) == [(0, 10), (1, 120)]
    assert missed == []


def test_faces_lie_where_detecting_in_the_whole_image_finds_them(detector, image):
    faces, _ = detect_in_boxes(detector, image, boxes([[75, 15, 135, 75]], []))
    assert faces.boxes.tolist() == [[80, 20, 128, 68]]
    whole = detector.find(image, threshold=0, largest=999)
    assert torch.allclose(faces.landmarks[0], whole.landmarks[1], atol=1e-3)


def test_a_face_in_two_boxes_is_found_once(detector, image):
    faces, missed = detect_in_boxes(
        detector, image, boxes([[70, 0, 140, 96], [60, 0, 150, 96], [0, 0, 200, 96]], [])
    )
    assert sorted(places(faces)) == [(0, 10), (0, 80)]
    assert missed == []


def test_boxes_without_a_face_are_named(detector, image):
    given = boxes([[150, 0, 190, 40], [0, 0, 60, 96]], [[-90, -90, -20, -20], [5, 5, 5, 5]])
    faces, missed = detect_in_boxes(detector, image, given)
    assert places(faces) == [(0, 10)]
    assert [(m.image_index, m.box) for m in missed] == [
        (0, (150, 0, 190, 40)),
        (1, (-90, -90, -20, -20)),
        (1, (5, 5, 5, 5)),
    ]


def test_options_hold_for_each_image(detector, image):
    everywhere = boxes([[0, 0, 200, 96]], [[0, 0, 200, 96]])
    assert len(detect_in_boxes(detector, image, everywhere, max_faces=1)[0]) == 2
    assert len(detect_in_boxes(detector, image, everywhere, min_size=60)[0]) == 0
    assert len(detect_in_boxes(detector, image, everywhere, threshold=0.95)[0]) == 0


def test_progress_counts_boxes_and_may_cancel(detector, image):
    seen = []
    given = boxes([[0, 0, 60, 96]], [[100, 0, 200, 96]])
    detect_in_boxes(detector, image, given, on_progress=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect_in_boxes(detector, image, given, on_progress=cancel)


def test_boxes_of_another_batch_are_refused(detector, image):
    with pytest.raises(MismatchError, match="1 images do not fit a batch of 2"):
        detect_in_boxes(detector, image, boxes([]))
    with pytest.raises(MismatchError, match="1 images do not fit a batch of 2"):
        keep_in_boxes(Faces.empty((2, 9, 9)), boxes([]))


@pytest.mark.parametrize(
    "wrong", [torch.rand(2, 3), torch.rand(4), torch.full((1, 4), float("nan"))]
)
def test_values_that_are_no_boxes_are_refused(wrong):
    with pytest.raises(MismatchError, match="image 1 must be"):
        keep_in_boxes(Faces.empty((2, 50, 50)), [torch.zeros(0, 4), wrong])
