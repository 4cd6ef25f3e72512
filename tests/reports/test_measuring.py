"""The report of a photograph: which figures each face gets, and from where."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from report_pictures import add_noise, draw, make_faces, paste_all, shrink

from gpen_core import Faces, MismatchError, report
from gpen_core.pasting import Pasted


class PointDetector:
    """Finds one face in each crop; the second has moved by `shift` px."""

    name, device, threshold, smallest, largest, short_side = (
        "points",
        torch.device("cpu"),
        0.5,
        8,
        9999,
        256,
    )

    def __init__(self, shift: float, found: int = 2) -> None:
        self.shift, self.found = shift, found

    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        scale = pixels.shape[-1] / 256
        template = torch.tensor([[101.0, 121], [155, 121], [128, 152], [106, 183], [150, 183]])
        found = min(self.found, len(pixels))
        points = torch.stack([template + self.shift * n for n in range(found)]) * scale
        boxes = torch.tensor([[60.0, 60, 196, 220]]).expand(found, 4) * scale
        size = (len(pixels), *pixels.shape[2:])
        return Faces(boxes, points, torch.ones(found), torch.arange(found), size)


def test_an_untouched_photograph_has_nothing_made_up():
    image = draw()
    found = report(image, Pasted(image, torch.zeros(1, 1, 160, 160)), make_faces())
    assert [face.pasted for face in found.faces] == [0.0, 0.0]
    assert found.faces[0].made_up is None
    same = report(image, paste_all(image.clone()), make_faces()).faces[0]
    assert (same.made_up, same.changed) == (0.0, 0.0)
    assert same.finest_before == same.finest_after
    assert same.noise_before == same.noise_after


def test_a_painted_face_is_told_from_a_calmed_one():
    truth = draw()
    painted = report(shrink(truth, 8), paste_all(truth), make_faces()).faces[0]
    calmed = report(add_noise(truth, 10), paste_all(truth), make_faces()).faces[0]
    assert painted.made_up is not None
    assert calmed.made_up is not None
    assert painted.made_up > 0.5 > calmed.made_up
    assert (painted.finest_before or 0) > 2 * (painted.finest_after or 9)
    assert calmed.noise_before == pytest.approx(10, rel=0.25)
    assert (calmed.noise_after or 9) < 1


def test_an_enlarged_result_is_compared_at_its_size_and_told_in_pixels_of_the_photograph():
    truth = draw(side=320)
    photograph = torch.nn.functional.avg_pool2d(truth, 2)
    face = report(photograph, paste_all(truth), make_faces()).faces[0]
    assert face.size == (64, 72)
    assert face.made_up is not None
    assert face.made_up > 0.1
    assert (face.finest_after or 9) < (face.finest_before or 0)
    assert face.pictures["after"].shape == face.pictures["where"].shape
    assert face.pictures["after"].shape == face.pictures["before"].shape


def test_of_a_tiny_face_the_surroundings_are_measured_as_well():
    face = report(shrink(draw(), 4), paste_all(draw()), make_faces()).faces[1]
    assert face.size == (16, 18)
    assert face.made_up is not None
    tiny = make_faces((1, 20, 20), 0.25)
    image = draw()[..., :20, :20]
    assert report(image, paste_all(image), tiny).faces[0].made_up is None


def test_landmarks_are_compared_in_the_same_crop_before_and_after():
    image = draw()
    moved = report(image, paste_all(image), make_faces(), detector=PointDetector(5.4)).faces[0]
    assert moved.landmarks_moved == pytest.approx(5.4 * 2**0.5 / 54, rel=1e-3)
    still = report(image, paste_all(image), make_faces(), detector=PointDetector(0)).faces[0]
    assert still.landmarks_moved == 0
    gone = report(image, paste_all(image), make_faces(), detector=PointDetector(0, found=1))
    assert gone.faces[0].landmarks_moved is None


def test_the_identity_sees_both_faces_aligned():
    sizes = []

    def identity(crops: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(crops.shape))
        return torch.stack([crops[:, 0].mean(dim=(1, 2)), crops[:, 2].mean(dim=(1, 2))], dim=1)

    image = draw()
    tinted = image * torch.tensor([1.0, 1, 0])[:, None, None]
    face = report(image, paste_all(tinted), make_faces(), identity=identity).faces[0]
    assert face.identity_distance == pytest.approx(1 - 0.5**0.5, abs=0.01)
    assert sizes == [(2, 3, 256, 256)] * 2
    with pytest.raises(MismatchError, match="one descriptor for each of 2 faces"):
        report(image, paste_all(image), make_faces(), identity=lambda crops: crops[0])


def test_faces_that_cannot_be_aligned_get_no_landmarks_and_no_failure():
    faces = make_faces()
    faces = replace(faces, landmarks=torch.full_like(faces.landmarks, 40.0))
    image = draw()
    found = report(image, paste_all(image), faces, detector=PointDetector(0)).faces
    assert [face.landmarks_moved for face in found] == [None, None]


def test_each_photograph_of_a_batch_numbers_its_faces_from_1():
    faces = make_faces((2, 160, 160))
    faces = replace(faces, image_index=torch.tensor([1, 0]))
    image = draw().expand(2, -1, -1, -1)
    found = report(image, paste_all(image.clone()), faces)
    assert [(face.image, face.number) for face in found.faces] == [(1, 1), (0, 1)]
    assert len(found.overview) == 2
    assert report(image, paste_all(image), Faces.empty((2, 160, 160))).faces == ()


def test_figures_are_values_that_json_has():
    found = report(shrink(draw(), 8), paste_all(draw()), make_faces()).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["faces"][0]["box"] == [32, 32, 96, 104]
    assert found["photograph"] == {"width": 160, "height": 160}


@pytest.mark.parametrize(
    ("image", "result", "message"),
    [
        ((1, 3, 160, 80), (1, 3, 160, 80), "found in 1 image of 160×160, the photograph is"),
        ((1, 3, 160, 160), (2, 3, 160, 160), "that belongs to this photograph"),
    ],
)
def test_what_does_not_belong_together_is_refused(image, result, message):
    with pytest.raises(MismatchError, match=message):
        report(torch.rand(image), paste_all(torch.rand(result)), make_faces())


def test_a_tensor_is_no_result():
    with pytest.raises(MismatchError, match="with image and mask; found Tensor"):
        report(draw(), draw(), make_faces())
