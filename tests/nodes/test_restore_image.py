"""Restore Image: every choice does what the nodes for single steps do, and its defaults nothing.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from node_fixtures import SIDE, draw_scene

LEFTS = (4, 56, 108)
"""Left edges of the three faces of `IMAGE`, 48 px each."""
IMAGE = draw_scene(LEFTS)
SEEN = 6
"""Widgets in sight at most; the others are under "advanced"."""


@pytest.fixture
def restore(node, detector, model):
    """A function that runs Restore Image on `IMAGE`."""

    def run(**inputs):
        return node(
            "GPENRestoreImage", **{"image": IMAGE, "model": model, "detector": detector, **inputs}
        )

    return run


def changed(mask) -> list[int]:
    """The numbers of the faces of `IMAGE` whose centre lies in the mask."""
    return [number for number, left in enumerate(LEFTS) if mask[0, 44, left + 24] > 0.5]


def test_six_widgets_are_in_sight(node):
    schema = node.classes["GPENRestoreImage"].GET_SCHEMA()
    seen = [
        socket.id
        for socket in schema.inputs
        if getattr(socket, "default", None) is not None and not socket.advanced
    ]
    assert seen == ["strength", "which", "count", "detail", "scale"]
    assert len(seen) <= SEEN


def test_a_graph_without_the_optional_inputs_means_the_defaults_of_the_widgets(node, nodes):
    schema = node.classes["GPENRestoreImage"].GET_SCHEMA()
    optional = {socket.id: socket for socket in schema.inputs if socket.optional}
    required = [socket.id for socket in schema.inputs if not socket.optional]
    assert required == ["image", "model", "strength"]  # those of 0.1.0
    choices = {field.name: field.default for field in fields(nodes.restore_image.Choices)}
    assert [*optional] == [*choices]
    assert choices == {name: getattr(s, "default", None) for name, s in optional.items()}


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({}, [0, 1, 2]),
        ({"which": "right to left", "count": 1}, [2]),
        ({"which": "left to right", "count": 2}, [0, 1]),
        ({"which": "left to right", "indices": "-1, 0"}, [0, 2]),
        ({"indices": "1"}, [1]),
        ({"min_size": 60.0}, []),
        ({"min_size": 60.0, "size_unit": "%"}, []),
        ({"max_size": 50.0, "size_unit": "%"}, [0, 1, 2]),
    ],
)
def test_only_the_chosen_faces_change(restore, chosen, kept):
    image, mask, before, after, faces, count, report = restore(**chosen).args
    assert changed(mask) == kept
    assert torch.equal(image[mask == 0], IMAGE[mask == 0])
    assert count == len(faces) == len(before) == len(after) == len(kept)
    assert len(report.splitlines()) == len(kept)


def test_a_region_chooses_by_place_and_is_checked_before_the_search(core, restore, detector):
    region = torch.zeros(1, *IMAGE.shape[1:3])
    region[:, :, 100:] = 1
    assert changed(restore(region=region)[1]) == [2]
    detector.find = None  # a search would fail
    error = core("errors").MismatchError
    with pytest.raises(error, match="region must be a mask of 200×96"):
        restore(region=torch.zeros(1, 64, 64))
    with pytest.raises(error, match="names no face"):
        restore(indices="first")
    with pytest.raises(error, match="is not a strength"):
        restore(strengths="much")


def test_crops_faces_and_report_are_those_of_the_single_steps(node, restore, detector, model):
    faces, crops, *_ = node("GPENDetectFaces", image=IMAGE, detector=detector, model=model).args
    result = restore(strengths="1, 0.5, 0").args
    assert torch.equal(result[2], crops)
    assert torch.equal(result[3], node("GPENRestoreFaces", model=model, crops=crops)[0])
    assert torch.equal(result[4].faces.boxes, faces.faces.boxes)
    assert torch.equal(result[4].alignment.affine, faces.alignment.affine)
    pasted = node("GPENPasteBack", image=IMAGE, faces=faces, crops=result[3], strengths="1, 0.5, 0")
    assert torch.equal(result[0], pasted[0])
    line = result[6].splitlines()[1]
    assert line == "image 0, face 1: 48×48 px at 56, 20; score 0.90; strength 0.5"


def test_every_choice_of_pasting_reaches_it(node, restore, detector, model):
    faces, crops, *_ = node("GPENDetectFaces", image=IMAGE, detector=detector, model=model).args
    restored = node("GPENRestoreFaces", model=model, crops=crops)[0]
    for inputs in ({"feather": 0.4}, {"detail": "on"}, {"mask_kind": "oval"}):
        expected = node("GPENPasteBack", image=IMAGE, faces=faces, crops=restored, **inputs)
        assert torch.equal(restore(**inputs)[0], expected[0])
        assert not torch.equal(restore()[0], expected[0])


def test_the_colours_of_the_photo_are_matched_on_request(restore):
    def distance(colour):
        _, _, before, after, *_ = restore(colour=colour).args
        return float((after.mean(dim=(1, 2)) - before.mean(dim=(1, 2))).abs().max())

    assert distance("match") < distance("keep") / 4


def test_the_template_is_the_models_or_the_chosen_one(restore):
    assert not torch.equal(restore(template="ffhq")[2], restore()[2])
    assert torch.equal(restore(template="gpen")[2], restore()[2])


def test_the_result_is_enlarged_and_its_faces_are_pasted_in(node, restore, detector, model, core):
    image = torch.cat([IMAGE, torch.ones(1, *IMAGE.shape[1:3], 1)], dim=-1)
    result = restore(image=image, scale=1.5)
    larger = core("warp").resize(IMAGE.movedim(-1, 1), 144, 300).clamp(0, 1).movedim(1, -1)
    assert result[0].shape == (1, 144, 300, 4)
    assert result[1].shape == (1, 144, 300)
    outside = result[1] == 0
    assert torch.equal(result[0][..., :3][outside], larger[outside])
    expected = restore(background=larger)
    assert torch.equal(result[0][..., :3], expected[0])
    none = restore(image=draw_scene([]), scale=2.0)
    assert none[0].shape == (1, 192, 400, 3)


class Upscaler:
    """An upscale model that enlarges two times and darkens, so that its work shows."""

    scale = 2

    def __call__(self, image):
        return image.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) * 0.5


def test_an_upscale_model_enlarges_the_image_by_scale(restore, monkeypatch, nodes):
    monkeypatch.setattr(nodes.host, "upscale", lambda model, image: model(image))
    result = restore(scale=2.0, upscale_model=Upscaler())
    outside = result[1] == 0
    expected = Upscaler()(IMAGE.movedim(-1, 1)).movedim(1, -1)
    assert torch.equal(result[0][outside], expected[outside])
    assert restore(scale=3.0, upscale_model=Upscaler())[0].shape == (1, 288, 600, 3)


def test_an_upscale_model_in_vain_is_said(restore):
    said = restore(upscale_model=Upscaler()).ui["gpen_said"][0]
    assert "scale is 1, so upscale_model is not used" in said
    said = restore(upscale_model=Upscaler(), background=IMAGE, scale=2.0).ui["gpen_said"][0]
    assert "background is connected, so upscale_model is not used" in said


def test_each_faces_change_is_told_where_clean_ones_are_left(restore, monkeypatch, nodes):
    shares, changes = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.25, 6.5, 12.0])
    monkeypatch.setitem(
        nodes.restore_image.restore_detected.__globals__,
        "weigh_faces",
        lambda *_: (shares, changes),
    )
    result = restore(leave_clean=True)
    image, report = result.args[0], result.args[6]
    assert "Left 1 clean face as it was. Changes: 1.2, 6.5, 12.0 levels." in str(result.ui)
    ends = [line.split("; changes ")[1] for line in report.splitlines()]
    assert ends == ["1.2 levels, 0% used", "6.5 levels, 50% used", "12.0 levels, 100% used"]
    left = LEFTS[0]
    assert torch.equal(image[:, 30:60, left : left + 24], IMAGE[:, 30:60, left : left + 24])


def test_what_was_left_is_said(restore):
    assert restore().ui["gpen_said"] == ["Restored 3 faces in 1 of 1 images."]
    assert restore(count=1, which="largest").ui["gpen_said"] == [
        "Restored 1 face in 1 of 1 images.\nLeft 2 faces as they were."
    ]
    assert restore(min_size=100.0).ui["gpen_said"] == [
        "No face restored in 1 of 1 images.\nLeft 3 faces as they were."
    ]


def test_the_crops_given_out_are_bounded(restore, monkeypatch, nodes):
    monkeypatch.setattr(nodes.restore_image, "KEPT_BYTES", 2 * 12 * 2 * SIDE**2)
    result = restore()
    assert len(result[2]) == len(result[3]) == 2
    assert result[5] == 3
    assert "hold the first 2 of 3 faces" in result.ui["gpen_said"][0]
