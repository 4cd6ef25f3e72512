"""What nodes tell the page: where faces stand in a preview, and pictures before and after."""

from __future__ import annotations

import pytest
import torch
from node_fixtures import draw_scene

LEFTS = (4, 56, 108)
IMAGE = draw_scene(LEFTS)


def test_detect_faces_tells_where_its_faces_stand(node, detector):
    result = node("GPENDetectFaces", image=IMAGE, detector=detector).ui
    picture, sheet = result["gpen_faces"]
    assert len(result["images"]) == 2
    assert [face["number"] for face in picture] == [face["number"] for face in sheet] == [0, 1, 2]
    for face, left in zip(picture, LEFTS, strict=True):
        assert face["box"] == pytest.approx([left / 200, 20 / 96, 48 / 200, 48 / 96], abs=1e-4)
        assert (face["size"], face["score"], face["kept"]) == ("48×48", 0.9, True)


def test_the_places_on_a_sheet_hold_the_crops(node, detector):
    result = node("GPENDetectFaces", image=IMAGE, detector=detector).ui
    (sheet,) = result["images"][1:]
    height, width, _ = sheet.shape
    for number, face in enumerate(result["gpen_faces"][1]):
        x, y, w, h = face["box"]
        middle = sheet[round((y + h / 2) * height), round((x + w / 2) * width)]
        assert middle.argmax() == number  # red, green, blue
        assert middle.max() > 0.9


def test_every_image_of_a_batch_numbers_its_faces_from_0(node, detector):
    faces = node("GPENDetectFaces", image=draw_scene([4, 56], [], [80]), detector=detector).ui
    shown = [[(face["image"], face["number"]) for face in part] for part in faces["gpen_faces"]]
    assert shown == [[(0, 0), (0, 1)], [], [(2, 0)], [(0, 0), (0, 1)], [(2, 0)]]


def test_an_image_without_faces_takes_no_clicks(node, detector):
    assert "gpen_faces" not in node("GPENDetectFaces", image=draw_scene([]), detector=detector).ui


def test_restore_image_shows_the_first_images_before_and_after(node, detector, model):
    options = {"model": model, "detector": detector}
    result = node("GPENRestoreImage", image=draw_scene(*[[10]] * 6), **options)
    before, after = result.ui["gpen_before"], result.ui["gpen_after"]
    assert len(before) == len(after) == 4
    assert torch.equal(before[0], draw_scene(*[[10]] * 6)[0])
    assert torch.equal(after[0], result[0][0])
    nothing = node("GPENRestoreImage", image=draw_scene([]), **options)
    assert {*nothing.ui} == {"gpen_said"}


def test_pictures_to_compare_are_shrunk(nodes, monkeypatch):
    monkeypatch.setattr(nodes.clickable, "COMPARED_SIDE", 100)
    shown = nodes.clickable.compare(*[IMAGE.movedim(-1, 1)] * 2)
    assert shown["gpen_before"][0].shape == (48, 100, 3)
