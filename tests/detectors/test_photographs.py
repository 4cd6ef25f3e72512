"""Detection in the photographs of `../shared/photos`, in which people counted the faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gpen_core import Faces, detect
from gpen_core.detectors import merging

pytestmark = pytest.mark.weights

MIRRORED = [1, 0, 2, 4, 3]
all_detectors = pytest.mark.parametrize("name", ["mtcnn", "retinaface_mobile0.25", "yunet"])


def photo(shared, name: str) -> torch.Tensor:
    """[1, 3, H, W]"""
    with Image.open(shared / "photos" / name) as picture:
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def find_pairs(faces: Faces) -> list[tuple[int, int]]:
    """Find pairs of faces in one image that overlap so much that they are the same face."""
    overlap, inside = merging.compare(faces.boxes)
    one = (overlap > merging.SAME_FACE_IOU) | inside
    one &= faces.image_index[:, None] == faces.image_index
    return [(i, j) for i, j in one.nonzero().tolist() if i < j]


@all_detectors
def test_no_detector_shifts_the_landmarks_of_a_group(name, detectors, shared):
    detector, image = detectors(name), photo(shared, "pif_group_steps.jpg")
    plain = detect(detector, image).landmarks
    mirrored = detect(detector, image.flip(3)).landmarks[:, MIRRORED]
    mirrored = torch.stack([image.shape[3] - mirrored[..., 0], mirrored[..., 1]], dim=2)
    distance, nearest = (plain[:, None] - mirrored).norm(dim=3).mean(dim=2).min(dim=1)
    near = distance < 6
    assert near.sum() >= 65
    # The shift of the convention is half of the remaining difference to the mirrored image.
    shift = (plain - mirrored[nearest])[near][..., 0].mean() / 2
    assert shift.abs() < 0.2


@all_detectors
def test_all_29_of_the_solvay_conference_are_found(name, detectors, shared):
    faces = detect(detectors(name), photo(shared, "solvay1927_1328.png"))
    assert len(faces) == 29
    assert not find_pairs(faces)


@all_detectors
def test_a_close_up_is_one_face_at_the_same_place_as_at_640_px(name, detectors, shared):
    image = photo(shared, "portrait_kate_2448.jpg")
    small = F.interpolate(image, (853, 640), mode="bilinear", antialias=True)
    faces, reference = detect(detectors(name), image), detect(detectors(name), small)
    assert len(faces) == len(reference) == 1
    expected = reference.landmarks * torch.tensor([2448 / 640, 3264 / 853])
    eyes = (expected[0, 0] - expected[0, 1]).norm()
    assert (faces.landmarks - expected).norm(dim=2).max() < 0.05 * eyes


def test_a_crowd_keeps_what_the_best_single_scale_finds(detectors, shared):
    detector, image = detectors("retinaface_mobile0.25"), photo(shared, "18f_all_gray.jpg")
    best = max(
        len(
            detector.find(
                F.interpolate(image, scale_factor=s, mode="bilinear", antialias=s < 1),
                threshold=detector.threshold,
                largest=float("inf"),
            )
        )
        for s in (0.5, 1, 1.5, 2)
    )
    faces = detect(detector, image)
    assert len(faces) >= 0.9 * best
    assert not find_pairs(faces)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mtcnn", "retinaface_mobile0.25"])
def test_photographs_below_2_megapixels_give_the_number_of_faces_in_them(name, detectors, shared):
    detector = detectors(name)
    lines = (shared / "photos" / "MANIFEST.tsv").read_text("utf-8").splitlines()[1:]
    checked = 0
    for line in lines:
        file, *_, count = line.split("\t")
        image = photo(shared, file)
        if count.strip() and image.shape[2] * image.shape[3] < 2e6:
            checked += 1
            faces = detect(detector, image)
            assert len(faces) == int(count), file
            assert not find_pairs(faces)
    assert checked >= 10
