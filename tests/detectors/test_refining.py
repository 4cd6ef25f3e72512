"""Landmarks that a second look places more steadily."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gpen_core import DetectorError, MismatchError, detect, refine_landmarks
from gpen_core.detectors import refining
from gpen_core.faces import Faces

MIRRORED = [1, 0, 2, 4, 3]
real_detectors = pytest.mark.parametrize(
    "name",
    [
        "mtcnn",
        pytest.param("retinaface_mobile0.25", marks=pytest.mark.weights),
        pytest.param("yunet", marks=pytest.mark.weights),
    ],
)


def measure_movement(detector, image: torch.Tensor, *, refine: bool) -> float:
    """Return how far the landmarks move between sizes and mirror images of a portrait."""
    found = []
    for width in (200, 310):
        for mirrored in (False, True):
            scale = width / image.shape[3]
            pixels = F.interpolate(image, (width, width), mode="bilinear", antialias=True)
            pixels = pixels.flip(3) if mirrored else pixels
            faces = detect(detector, pixels)
            if refine:
                faces = refine_landmarks(detector, pixels, faces)
            points = faces.landmarks[0] / scale
            if mirrored:
                points = torch.stack([image.shape[3] - points[:, 0], points[:, 1]], 1)[MIRRORED]
            found.append(points)
    points = torch.stack(found)
    eyes = (points[0, 0] - points[0, 1]).norm()
    return float((points - points.mean(dim=0)).norm(dim=2).square().mean().sqrt() / eyes)


@real_detectors
def test_refined_landmarks_move_less(name, detectors, astronaut):
    # `benchmarks/fidelity.py landmarks` finds 0.29 to 0.38 over many faces.
    image = astronaut[..., :400, 20:420]
    plain = measure_movement(detectors(name), image, refine=False)
    assert measure_movement(detectors(name), image, refine=True) < 0.7 * plain


def test_everything_but_the_landmarks_stays(detectors, astronaut):
    image = torch.cat([astronaut, astronaut.roll(30, dims=3)])
    faces = detect(detectors("mtcnn"), image)
    seen = []
    refined = refine_landmarks(
        detectors("mtcnn"), image, faces, on_progress=lambda *counts: seen.append(counts)
    )
    assert torch.equal(refined.boxes, faces.boxes)
    assert torch.equal(refined.scores, faces.scores)
    assert torch.equal(refined.image_index, faces.image_index)
    moved = (refined.landmarks - faces.landmarks).norm(dim=2)
    assert 0 < moved.max() < 5
    assert seen[-1] == (2, 2)


def test_a_face_that_is_not_found_again_keeps_its_landmarks(detectors, astronaut):
    faces = detect(detectors("mtcnn"), astronaut)
    blank = torch.zeros_like(astronaut)
    refined = refine_landmarks(detectors("mtcnn"), blank, faces)
    assert torch.equal(refined.landmarks, faces.landmarks)


def test_landmarks_that_are_no_face_are_kept(detectors, astronaut):
    faces = detect(detectors("mtcnn"), astronaut)
    point = replace(faces, landmarks=torch.full((1, 5, 2), 100.0))  # all coincide
    refined = refine_landmarks(detectors("mtcnn"), astronaut, point)
    assert torch.equal(refined.landmarks, point.landmarks)


@real_detectors
def test_no_faces_are_no_error(name, detectors):
    image = torch.zeros(2, 3, 40, 50)
    assert len(refine_landmarks(detectors(name), image, Faces.empty((2, 40, 50)))) == 0


def test_a_detector_never_gets_an_empty_batch(detectors, astronaut):
    class Strict:
        name, device = "strict", torch.device("cpu")

        def find(self, pixels, **_):
            raise AssertionError(f"looked at {len(pixels)} crops")

    unlike = replace(detect(detectors("mtcnn"), astronaut), landmarks=torch.full((1, 5, 2), 100.0))
    for faces in (unlike, unlike[[]]):
        assert torch.equal(refine_landmarks(Strict(), astronaut, faces).landmarks, faces.landmarks)


def test_faces_of_another_image_are_a_mismatch(detectors):
    with pytest.raises(MismatchError, match=r"found in 1 image of 50×40, not in 1"):
        refine_landmarks(detectors("mtcnn"), torch.zeros(1, 3, 64, 64), Faces.empty((1, 40, 50)))


@pytest.mark.parametrize(
    ("refine", "size", "expected"),
    [("auto", 511, False), ("auto", 512, True), ("on", 64, True), ("off", 2048, False)],
)
def test_auto_refines_for_large_crops(refine, size, expected):
    assert refining.chooses_refining(refine, size) is expected


def test_an_unknown_choice_is_refused():
    with pytest.raises(DetectorError, match="Unknown refine 'yes'; use auto, on, off"):
        refining.chooses_refining("yes", 512)
