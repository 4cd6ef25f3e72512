"""Faces of images that lie on their side or stand on their head."""

from __future__ import annotations

import pytest
import torch

from gpen_core import DetectorError, detect
from gpen_core.detectors import turns

real_detectors = pytest.mark.parametrize(
    "name",
    [
        "mtcnn",
        pytest.param("retinaface_mobile0.25", marks=pytest.mark.weights),
        pytest.param("yunet", marks=pytest.mark.weights),
    ],
)


def assert_equal(found, expected):
    assert torch.equal(found.landmarks, expected.landmarks)
    assert torch.equal(found.boxes, expected.boxes)
    assert torch.equal(found.scores, expected.scores)
    assert found.image_index.tolist() == expected.image_index.tolist()
    assert found.image_size == expected.image_size


@pytest.fixture
def portrait(astronaut):
    """[1, 3, 300, 260]: not square, so that sides cannot be taken for each other."""
    return astronaut[..., :300, 90:350].contiguous()


@real_detectors
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_image_has_the_faces_of_the_upright_one(name, quarter, detectors, portrait):
    upright = detect(detectors(name), portrait, turns="never")
    assert len(upright) == 1
    turned = torch.rot90(portrait, -quarter, (2, 3)).contiguous()
    found = detect(detectors(name), turned)
    assert_equal(found, turns.turn_back(upright, quarter, turned))
    # The points lie on the same pixels: the map is that of torch.rot90.
    marked = torch.zeros(portrait.shape[2:])
    x, y = upright.landmarks[0, 0].tolist()
    marked[int(y), int(x)] = 1
    row, column = torch.rot90(marked, -quarter).nonzero()[0].tolist()
    u, v = found.landmarks[0, 0].tolist()
    assert (int(u), int(v)) == (column, row)


def test_each_image_of_a_batch_has_its_own_turn(detectors, portrait):
    detector = detectors("mtcnn")
    square = torch.nn.functional.pad(portrait, (20, 20, 0, 0), value=0.5)
    batch = torch.cat([torch.rot90(square, -quarter, (2, 3)) for quarter in (2, 0, 1, 3)])
    blank = torch.full_like(square, 0.5)
    found = detect(detector, torch.cat([batch, blank]))
    assert found.image_index.tolist() == [0, 1, 2, 3]
    for row in range(4):
        alone = detect(detector, batch[[row]])
        place = found[found.image_index == row]
        assert torch.allclose(place.landmarks, alone.landmarks, atol=0.05)


def test_a_sure_upright_search_is_the_only_one(detectors, portrait, monkeypatch):
    detector = detectors("mtcnn")
    never = detect(detector, portrait, turns="never")
    monkeypatch.setattr(turns, "choose_turns", None)
    seen = []
    auto = detect(detector, portrait, on_progress=lambda done, total: seen.append((done, total)))
    assert_equal(auto, never)
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_never_searches_an_image_as_it_is(detectors, portrait, monkeypatch):
    lying = torch.rot90(portrait, 2, (2, 3))
    monkeypatch.setattr(turns, "choose_turns", None)
    assert len(detect(detectors("mtcnn"), lying, turns="never")) == 0


@real_detectors
def test_always_finds_a_head_that_lies_beside_an_upright_one_in_its_turn(name, detectors, portrait):
    square = portrait[..., :260, :]
    image = torch.cat([square, torch.rot90(square, 1, (2, 3))], dim=3)
    faces = detect(detectors(name), image, turns="always")
    assert len(faces) == 2
    tilt, likeness = turns.measure_pose(faces[faces.boxes[:, 0].argsort()])
    assert tilt.abs().tolist() == pytest.approx([0, 90], abs=20)
    assert likeness.min() > 0.9


def test_unknown_turns_are_refused(detectors):
    with pytest.raises(DetectorError, match="Unknown turns 'twice'; use auto, never, always"):
        detect(detectors("mtcnn"), torch.zeros(1, 3, 32, 32), turns="twice")


@pytest.mark.parametrize("option", [{"min_face": -1}, {"min_face": float("nan")}])
def test_a_smallest_face_outside_its_range_is_refused(option, detectors):
    with pytest.raises(DetectorError, match="min_face is a side in pixels, 0 or more; found"):
        detect(detectors("mtcnn"), torch.zeros(1, 3, 32, 32), **option)
