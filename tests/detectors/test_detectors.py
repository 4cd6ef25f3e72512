"""Every detector finds a face once at any size and nothing in blank images; options of `detect`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gpen_core import DetectorError, MismatchError, detect

MIRRORED = [1, 0, 2, 4, 3]
real_detectors = pytest.mark.parametrize(
    "name",
    [
        "mtcnn",
        pytest.param("retinaface_mobile0.25", marks=pytest.mark.weights),
        pytest.param("yunet", marks=pytest.mark.weights),
    ],
)


@real_detectors
def test_a_face_is_found_once_with_its_landmarks_in_order(name, detectors, astronaut):
    faces = detect(detectors(name), astronaut)
    assert len(faces) == 1
    assert faces.image_size == (1, 512, 512)
    # Read by eye from the picture, enlarged ten times under a grid; each is right to about a pixel.
    by_hand = torch.tensor(
        [[203.5, 101.5], [247.0, 103.5], [223.5, 127.0], [203.0, 140.5], [244.5, 141.5]]
    )
    assert (faces.landmarks[0] - by_hand).norm(dim=1).max() < 5
    x0, y0, x1, y1 = faces.boxes[0].tolist()
    assert 150 < x0 < 200 < 250 < x1 < 300
    assert 20 < y0 < 90 < 160 < y1 < 200


@real_detectors
@pytest.mark.parametrize("scale", [0.25, pytest.param(5, marks=pytest.mark.slow)])
def test_the_face_is_the_same_at_every_size(name, scale, detectors, astronaut):
    detector = detectors(name)
    reference = detect(detector, astronaut)
    sized = F.interpolate(astronaut, scale_factor=scale, mode="bilinear", antialias=scale < 1)
    faces = detect(detector, sized)
    assert len(faces) == 1
    eyes = (reference.landmarks[0, 0] - reference.landmarks[0, 1]).norm()
    moved = (faces.landmarks / scale - reference.landmarks).norm(dim=2).max()
    # On a face of 29 px the small RetinaFace errs by a third of the distance between the eyes.
    # facexlib gives the same landmarks to 5 digits.
    coarse = 0.4 if name == "retinaface_mobile0.25" else 0.15
    assert moved < (coarse if scale < 1 else 0.1) * eyes


@real_detectors
def test_mirrored_images_give_mirrored_landmarks(name, detectors, astronaut):
    # Several positions relative to the networks' strides, so that a wrong convention shows.
    errors = []
    for pad in range(5, 45, 5):
        image = F.pad(astronaut[..., :400], (pad, 0, pad // 2, 0), value=0.5)
        plain = detect(detectors(name), image).landmarks
        mirrored = detect(detectors(name), image.flip(3)).landmarks[:, MIRRORED]
        mirrored = torch.stack([image.shape[3] - mirrored[..., 0], mirrored[..., 1]], dim=2)
        assert plain.shape == mirrored.shape == (1, 5, 2)
        errors.append(plain - mirrored)
    error = torch.cat(errors)
    assert error.norm(dim=2).mean() < 5
    # The error is twice the shift of the convention: half a pixel would show as 1.
    tolerance = {"mtcnn": 0.7, "retinaface_mobile0.25": 2.0, "yunet": 2.0}[name]
    assert error[..., 0].mean().abs() < tolerance


@real_detectors
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (4, 3000), (3000, 4), (31, 33), (700, 700)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_blank_images_of_any_shape_have_no_face(name, size, value, detectors):
    faces = detect(detectors(name), torch.full((2, 3, *size), value))
    assert len(faces) == 0
    assert faces.image_size == (2, *size)


def test_an_empty_batch_has_no_face(detectors):
    assert len(detect(detectors("mtcnn"), torch.zeros(0, 3, 64, 64))) == 0


@real_detectors
def test_noise_raises_no_error(name, detectors):
    torch.manual_seed(0)
    detect(detectors(name), torch.rand(1, 3, 200, 300), threshold=0.2)


def test_batches_equal_single_images(detectors, astronaut):
    detector = detectors("mtcnn")
    blank, moved = torch.zeros_like(astronaut), astronaut.roll(40, dims=3)
    batch = detect(detector, torch.cat([astronaut, blank, moved]))
    assert batch.image_index.tolist() == [0, 2]
    for n, image in ((0, astronaut), (2, moved)):
        alone = detect(detector, image)
        assert torch.allclose(batch[batch.image_index == n].boxes, alone.boxes, atol=0.05)
        assert torch.allclose(batch[batch.image_index == n].landmarks, alone.landmarks, atol=0.05)


def test_options_choose_faces(detectors, astronaut):
    detector = detectors("mtcnn")
    small = F.interpolate(astronaut, scale_factor=0.5, mode="bilinear", antialias=True)
    image = torch.zeros(2, 3, 512, 1024)
    image[:, :, :, :512] = astronaut
    image[:, :, :256, 512:768] = small
    both = detect(detector, image)
    assert both.image_index.tolist() == [0, 0, 1, 1]
    assert both.widths[0] > 1.5 * both.widths[1]
    largest = detect(detector, image, max_faces=1)
    assert largest.image_index.tolist() == [0, 1]
    assert torch.equal(largest.boxes, both.boxes[[0, 2]])
    assert len(detect(detector, image, max_faces=0)) == 0
    sized = detect(detector, image, min_size=60)
    assert sized.image_index.tolist() == [0, 1]
    assert sized.widths.min() >= 60
    assert len(detect(detector, image, threshold=1.0)) == 0


def test_half_precision_images_are_searched(detectors, astronaut):
    faces = detect(detectors("mtcnn"), astronaut.half())
    assert len(faces) == 1
    assert faces.boxes.dtype == torch.float32


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 64, 64), torch.zeros(1, 4, 64, 64), torch.zeros(1, 3, 8, 8).byte()]
)
def test_an_image_of_another_shape_or_dtype_is_a_mismatch(image, detectors):
    with pytest.raises(MismatchError, match=r"\[B, 3, H, W\]|floating point in \[0, 1\]"):
        detect(detectors("mtcnn"), image)


@pytest.mark.parametrize(
    "option",
    [{"threshold": 1.5}, {"threshold": float("nan")}, {"min_size": -1}, {"max_faces": -1}],
)
def test_options_outside_their_range_are_refused(option, detectors):
    with pytest.raises(DetectorError, match=f"{next(iter(option))} is .*; found"):
        detect(detectors("mtcnn"), torch.zeros(1, 3, 64, 64), **option)
