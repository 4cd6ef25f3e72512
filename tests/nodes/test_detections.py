"""Faces are not searched again when only other things change; what the nodes say afterwards.

`test_comfyui.py` runs this file again inside ComfyUI's own modules.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draw_map import draw_map
from node_fixtures import draw_scene

IMAGE = draw_scene([10, 80], [], [120])


@pytest.fixture
def counted(detector, nodes, monkeypatch):
    """The detector, with the sizes of what it searched; it has a stamp, as a loaded one has."""
    monkeypatch.setattr(nodes.detections, "CACHE", nodes.detections.DetectionCache())
    nodes.detections.remember_stamp(detector, "known 1")
    searched = []
    find = detector.find
    monkeypatch.setattr(
        detector,
        "find",
        lambda pixels, **options: searched.append(tuple(pixels.shape)) or find(pixels, **options),
    )
    detector.searched = searched
    return detector


@pytest.fixture
def said(nodes, monkeypatch):
    messages = []
    monkeypatch.setattr(nodes.host, "say", lambda node_id, message: messages.append(message))
    return messages


def test_another_model_strength_or_crop_size_searches_no_second_time(node, counted, model):
    first = node("GPENDetectFaces", image=IMAGE, detector=counted, model=model).args
    before = len(counted.searched)
    assert before
    again = node("GPENDetectFaces", image=IMAGE.clone(), detector=counted, crop_size="256").args
    once = {"template": "ffhq", "max_faces": 1, "refine": "off"}
    node("GPENDetectFaces", image=IMAGE, detector=counted, **once)
    for strength in (1, 0.5):
        node("GPENRestoreImage", image=IMAGE, detector=counted, model=model, strength=strength)
    assert len(counted.searched) == before
    assert torch.equal(first[0].faces.boxes, again[0].faces.boxes)
    assert again[1].shape[1] == 256


def test_turns_and_small_faces_search_again_and_refined_landmarks_are_kept(node, counted):
    def search(**options) -> int:
        before = len(counted.searched)
        node("GPENDetectFaces", image=IMAGE, detector=counted, crop_size="256", **options)
        return len(counted.searched) - before

    assert search(turns="never") == 1
    assert search(turns="always") == 4
    assert search(turns="never", min_face=4) > 1
    assert search(turns="never", refine="on") == 1  # the crops of the faces found before
    assert search(turns="never", refine="on") == 0


def test_other_pixels_thresholds_boxes_or_detectors_search_again(node, nodes, counted):
    def search(image=IMAGE, **options) -> int:
        before = len(counted.searched)
        node("GPENDetectFaces", image=image, detector=counted, crop_size="256", **options)
        return len(counted.searched) - before

    assert search() > 0
    assert search() == 0
    changed = IMAGE.clone()
    changed[2, 5, 5, 0] += 1e-3
    box = {"x": 0, "y": 0, "width": 90, "height": 90}
    for options in (
        {"image": changed}, {"image": IMAGE[:2]}, {"threshold": 0.3}, {"min_size": 20},
        {"bboxes": [box]},
    ):  # fmt: skip
        assert search(**options) > 0, options
        assert search(**options) == 0, options
    nodes.detections.remember_stamp(counted, "known 2")
    assert search() > 0


def test_kept_detections_are_bounded(nodes, core, monkeypatch):
    monkeypatch.setattr(nodes.detections, "MOST_ENTRIES", 3)
    monkeypatch.setattr(nodes.detections, "MOST_FACES", 10)
    cache, faces = nodes.detections.DetectionCache(), core("faces").Faces
    empty = faces.empty((1, 8, 8))
    for key in "abcd":
        cache.put(key, (empty, []))
        cache.get("a")
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]
    cache.put("many", (empty, [None] * 11))
    assert len(cache) == 0


def test_cancelling_inside_a_pass_keeps_nothing(node, nodes, counted, core, monkeypatch):
    class Cancelled(BaseException):
        """As the host raises it."""

    def cancel():
        raise Cancelled

    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1))
    core("detectors.interrupts").check_between_layers(layer)
    find = counted.find
    monkeypatch.setattr(
        counted, "find", lambda pixels, **options: (layer(pixels), find(pixels, **options))[1]
    )
    layer(torch.zeros(1, 3, 4, 4))  # outside a search nothing stops it
    with monkeypatch.context() as pressed:
        pressed.setattr(nodes.host, "stop_if_cancelled", cancel)
        with pytest.raises(Cancelled):
            node("GPENDetectFaces", image=IMAGE, detector=counted)
    assert not counted.searched
    assert len(nodes.detections.CACHE) == 0


def test_restore_image_moves_one_bar_from_0_to_its_end(node, nodes, counted, model, monkeypatch):
    moved = []
    monkeypatch.setattr(
        nodes.host, "make_progress", lambda total: lambda done, total: moved.append((done, total))
    )
    node("GPENRestoreImage", image=IMAGE, model=model, detector=counted)
    assert moved == sorted(moved)
    assert moved[0][0] < moved[-1][0] == moved[-1][1] == 1000
    assert len({done for done, _ in moved}) > 3
    moved.clear()
    node("GPENRestoreImage", image=draw_scene([]), model=model, detector=counted)
    assert moved[-1] == (1000, 1000)


def test_nodes_say_how_many_faces_in_how_many_images(node, counted, model, said):
    found = node("GPENDetectFaces", image=IMAGE, detector=counted, model=model)
    faces, crops, *_ = found.args
    results = [
        found,
        node("GPENSelectFaces", faces=faces, crops=crops, count=1),
        node("GPENRestoreFaces", model=model, crops=crops),
        node("GPENPasteBack", image=IMAGE, faces=faces, crops=crops),
        node("GPENRestoreImage", image=IMAGE, model=model, detector=counted),
        node("GPENRestoreImage", image=draw_scene([]), model=model, detector=counted),
        node("GPENDetectFaces", image=draw_scene([]), model=model, detector=counted),
    ]
    # The host sends this again for results from its cache.
    assert [result.ui["gpen_said"] for result in results] == [[message] for message in said]
    rest = "in 2 of 3 images. No face found in 1 of 3 images."
    assert [message.strip() for message in said] == [
        f"Found 3 faces {rest}",
        "Kept 2 of 3 faces.",
        "Restored 3 faces.",
        "Pasted 3 faces in 2 of 3 images. No face pasted in 1 of 3 images.",
        f"Restored 3 faces {rest}",
        "No face found in 1 of 1 images.",
        "No face found in 1 of 1 images.",
    ]


@pytest.mark.parametrize("strength", [0, 0.4, 1])
def test_strength_at_paste_means_what_it_means_in_restore_image(node, counted, model, strength):
    options = {"image": IMAGE, "detector": counted, "model": model}
    faces, crops, *_ = node("GPENDetectFaces", **options).args
    restored = node("GPENRestoreFaces", model=model, crops=crops)[0]
    one = node("GPENRestoreImage", **options, strength=strength).args
    for widgets in ({"strength": strength}, {"strengths": f"{strength} {strength}, {strength}"}):
        four = node("GPENPasteBack", image=IMAGE, faces=faces, crops=restored, **widgets).args
        assert torch.allclose(four[0], one[0], atol=1 / 255)
        assert torch.equal(four[1], one[1])
        assert strength or torch.equal(four[0], IMAGE)
    assert strength or torch.equal(one[0], IMAGE)


def test_strengths_that_do_not_fit_the_faces_are_refused_with_both_numbers(node, counted, model):
    faces, crops, *_ = node("GPENDetectFaces", image=IMAGE, detector=counted, model=model).args
    with pytest.raises(ValueError, match="2 strengths do not fit 3 faces"):
        node("GPENPasteBack", image=IMAGE, faces=faces, crops=crops, strengths="1, 0")


def test_an_image_that_requires_grad_is_taken_like_any_other(node, counted, model):
    image = IMAGE.clone().requires_grad_()
    result, mask, *_ = node("GPENRestoreImage", image=image, detector=counted, model=model).args
    assert mask.any()
    assert not result.requires_grad


@pytest.mark.parametrize(
    ("photograph", "shape"),
    [
        ("portrait", (1, 512, 512, 3)),
        ("group", (1, 575, 1600, 3)),
        ("clip", (16, 336, 448, 3)),
        ("grey", (1, 512, 512, 3)),
        ("map", (1, 512, 512, 3)),
        ("old", (1, 512, 512, 3)),
    ],
)
def test_example_photographs_are_images(node, photograph, shape):
    result = node("GPENExamplePhotograph", photograph=photograph)
    assert result[0].shape == shape
    assert result.ui is not None


def test_the_grey_example_has_the_brightness_of_the_portrait(node):
    portrait, grey = (node("GPENExamplePhotograph", photograph=p)[0] for p in ("portrait", "grey"))
    assert torch.equal(grey[..., :1].expand_as(grey), grey)
    assert torch.allclose(portrait @ torch.tensor([0.299, 0.587, 0.114]), grey[..., 0], atol=1e-5)


def test_the_old_example_is_brown_grainy_and_on_its_side(node):
    portrait, old = (node("GPENExamplePhotograph", photograph=p)[0] for p in ("portrait", "old"))
    assert torch.equal(old, node("GPENExamplePhotograph", photograph="old")[0])
    upright = old.rot90(-1, (1, 2))
    red, green, blue = upright.mean(dim=(0, 1, 2)).tolist()
    assert red > green > blue
    brightness = portrait @ torch.tensor([0.299, 0.587, 0.114])
    pair = torch.stack([brightness.flatten(), upright[..., 1].flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.9


def test_the_example_map_is_the_one_that_the_script_draws_in_the_palette(node, core):
    (shown,) = node("GPENExamplePhotograph", photograph="map").args
    drawn = torch.from_numpy(np.array(draw_map().convert("RGB")))
    assert torch.equal((shown[0] * 255).round().byte(), drawn)
    palette = [color.to_bytes(3, "big") for color in core("tasks.segmentation").PALETTE.values()]
    assert {bytes(color) for color in drawn.reshape(-1, 3).unique(dim=0).tolist()} <= {*palette}
