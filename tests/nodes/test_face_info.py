"""Face Info, and the Impact Pack's SEGS."""

from __future__ import annotations

import json
from collections import namedtuple

import numpy as np
import pytest
import torch
from node_fixtures import draw_scene

FIELDS = (
    "cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label",
    "control_net_wrapper",
)  # fmt: skip
Theirs = namedtuple("Theirs", FIELDS)
"""A region as another pack makes it: a type that ours does not know."""


@pytest.fixture
def scene():
    return draw_scene([10, 120], [60])


@pytest.fixture
def faces(node, detector, scene):
    return node("GPENDetectFaces", image=scene, detector=detector, crop_size="256")[0]


def test_figures_of_each_face(node, faces, scene):
    text, figures, count = node("GPENFaceInfo", faces=faces, image=scene).args
    assert count == 3
    first, second, third = json.loads(figures)
    assert first["box"] == [10, 20, 58, 68]
    assert (first["width"], first["height"], first["score"]) == (48, 48, 0.9)
    assert (second["image"], second["number"], second["box"][0]) == (0, 1, 120)
    assert (third["image"], third["number"]) == (1, 0)
    assert first["landmarks"] == faces.faces.landmarks[0].double().numpy().round(1).tolist()
    assert first["eye_distance"] == pytest.approx(48 * 0.2097, abs=0.1)
    assert text.splitlines()[0].startswith("image 0, face 0: 48×48 px at 10, 20; eyes 10 px apart")


def test_the_angle_is_that_of_the_eyes(node, faces):
    turned = faces.faces.landmarks.clone()
    turned[0, :2] = torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    object.__setattr__(faces.faces, "landmarks", turned)
    assert json.loads(node("GPENFaceInfo", faces=faces)[1])[0]["angle"] == 45


def test_sharpness_and_noise_follow_the_pixels(node, faces, scene):
    noisy = scene + 0.04 * torch.randn(scene.shape, generator=torch.Generator().manual_seed(1))
    levels = [
        json.loads(node("GPENFaceInfo", faces=faces, image=image)[1])[0]["noise"]
        for image in (scene, noisy)
    ]
    assert levels[0] < 1
    assert levels[1] > 3
    assert "noise" not in json.loads(node("GPENFaceInfo", faces=faces)[1])[0]


def test_the_figures_are_those_of_the_report(node, core, faces, scene):
    image = scene.movedim(-1, 1)
    pasted = core("pasting").Pasted(image.flip(3), torch.ones(2, 1, *image.shape[2:]))
    reported = core("reports").report(image, pasted, faces.faces)
    shown = json.loads(node("GPENFaceInfo", faces=faces, image=scene)[1])
    for face, figures in zip(reported.faces, shown, strict=True):
        assert figures["finest"] == pytest.approx(face.finest_before, abs=0.01)
        assert figures["noise"] == pytest.approx(face.noise_before, abs=0.01)


def test_no_face_is_said(node, faces):
    output = node("GPENFaceInfo", faces=faces[torch.tensor([], dtype=torch.int64)])
    assert output.args == ("No face.", "[]", 0)


def test_segs_hold_seven_fields_and_the_ovals(node, detector, scene):
    size, segs = node("GPENDetectFaces", image=scene, detector=detector, crop_size="256")[5]
    assert size == (96, 200)
    assert len(segs) == 2  # those of the first image
    assert segs[0]._fields == FIELDS
    for seg in segs:
        left, top, right, bottom = seg.crop_region
        assert seg.cropped_mask.shape == (bottom - top, right - left)
        assert seg.cropped_mask.dtype == np.float32
        assert (0 <= seg.cropped_mask).all() and seg.cropped_mask.max() == 1
        assert (seg.label, seg.confidence) == ("face", pytest.approx(0.9))
    middle = segs[0].cropped_mask[44 - segs[0].crop_region[1], 34 - segs[0].crop_region[0]]
    assert middle == 1


def test_segs_choose_where_faces_are_searched(node, detector, scene):
    box = [112, 16, 180, 76]
    regions = [Theirs(None, None, 0.5, box, np.array(box), "person", None)]
    found = node("GPENDetectFaces", image=scene[:1], detector=detector, segs=((96, 200), regions))
    assert found[3] == 1
    assert found[0].faces.boxes[0, 0] == pytest.approx(120, abs=1)


def test_our_segs_find_the_same_faces_again(node, detector, scene):
    first = node("GPENDetectFaces", image=scene[:1], detector=detector, crop_size="256")
    again = node("GPENDetectFaces", image=scene[:1], detector=detector, segs=first[5])
    assert again[3] == 2


@pytest.mark.parametrize(
    ("segs", "message"),
    [
        (((50, 60), []), "found in an image of 60×50, but this image is 200×96"),
        (([], []), r"must be \(\(height, width\), regions\)"),
        (((96, 200), [3]), "each region with a bbox of four numbers"),
        (7, r"must be \(\(height, width\), regions\)"),
    ],
)
def test_what_is_no_segs_of_this_image_is_refused(node, detector, scene, segs, message):
    with pytest.raises(ValueError, match=message):
        node("GPENDetectFaces", image=scene, detector=detector, segs=segs)
