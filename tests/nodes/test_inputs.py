"""Inputs from other nodes: which ones a node accepts, and the errors for those that do not fit.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from node_fixtures import SIDE, draw_scene


@pytest.fixture
def found(node, detector, model):
    """Image, faces and crops of three faces in two frames."""
    image = draw_scene([10, 80], [120])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    return image, faces, crops


def box(x, y, width, height):
    return {"x": x, "y": y, "width": width, "height": height, "label": "face", "score": 1.0}


def collect_warnings(monkeypatch, nodes):
    """Return a list to which the nodes' warnings will be added."""
    messages = []
    monkeypatch.setattr(nodes.host, "warn", lambda node_id, message: messages.append(message))
    return messages


def test_a_wrong_number_of_crops_is_refused_with_both_numbers(node, found):
    image, faces, crops = found
    with pytest.raises(ValueError, match="2 crops do not fit 3 faces"):
        node("GPENPasteBack", image=image, faces=faces, crops=crops[:2])
    with pytest.raises(ValueError, match="4 crops do not fit 3 faces"):
        node("GPENSelectFaces", faces=faces, crops=torch.cat([crops, crops[:1]]))


def test_an_image_of_another_size_than_the_detected_one_is_refused_with_both_sizes(node, found):
    image, faces, crops = found
    with pytest.raises(ValueError, match=r"2 × 200×96.*2 × 200×48.*background"):
        node("GPENPasteBack", image=image[:, :48], faces=faces, crops=crops)
    with pytest.raises(ValueError, match=r"2 × 200×96.*1 × 200×96"):
        node("GPENCropFaces", image=image[:1], faces=faces)


def test_a_photo_in_place_of_crops_is_refused_with_its_size(node, found, model):
    with pytest.raises(ValueError, match=r"square, found 200×96.*Restore Image"):
        node("GPENRestoreFaces", model=model, crops=found[0])


def test_a_mask_of_another_size_is_refused_with_both_sizes(node, found):
    image, faces, crops = found
    with pytest.raises(ValueError, match=r"mask must .* 200×96; found 64×64"):
        node("GPENPasteBack", image=image, faces=faces, crops=crops, mask=torch.ones(1, 64, 64))
    with pytest.raises(ValueError, match=r"200×96.*64×64"):
        node("GPENSelectFaces", faces=faces, crops=crops, region=torch.ones(1, 64, 64))


def test_select_outputs_the_chosen_faces_with_their_crops_and_the_rest(node, found):
    _, faces, crops = found
    kept, kept_crops, rest = node(
        "GPENSelectFaces", faces=faces, crops=crops, order="left to right", count=1
    ).args
    assert kept.faces.image_index.tolist() == [0, 1]
    assert len(rest) == 1
    for row, face in enumerate(kept.faces.boxes):
        source = int((faces.faces.boxes == face).all(dim=1).nonzero()[0])
        assert torch.equal(kept_crops[row], crops[source])


def test_faces_not_selected_stay_bit_exact(node, found):
    image, faces, crops = found
    kept, kept_crops, rest = node(
        "GPENSelectFaces", faces=faces, crops=crops, order="left to right", indices="0"
    ).args
    white = torch.ones_like(kept_crops)
    pasted = node("GPENPasteBack", image=image, faces=kept, crops=white)[0]
    assert torch.equal(pasted[0, :, 100:], image[0, :, 100:])
    assert torch.equal(pasted[0, 30:58, 90:118], image[0, 30:58, 90:118])
    assert [int(x) for x in rest.faces.boxes[:, 0]] == [80]


def test_crop_faces_cuts_the_selected_faces_at_another_size(node, found):
    image, faces, crops = found
    kept, _, rest = node("GPENSelectFaces", faces=faces, crops=crops, indices="0").args
    _same, same_crops, _ = node("GPENCropFaces", image=image, faces=rest).args
    assert same_crops.shape == (1, SIDE, SIDE, 3)
    large, large_crops, _ = node("GPENCropFaces", image=image, faces=kept, size="256").args
    assert large_crops.shape == (2, 256, 256, 3)
    assert large.alignment.crop_size == 256
    unit = torch.tensor([1.0, 1, 1], dtype=torch.float64)
    mid = SIDE / 2 * unit, 128 * unit
    for small, big in zip(
        kept.alignment.inverse_affine, large.alignment.inverse_affine, strict=True
    ):
        assert torch.allclose(small[:, :2] @ mid[0][:2] + small[:, 2],
                              big[:, :2] @ mid[1][:2] + big[:, 2])  # fmt: skip


def test_landmarks_of_a_face_mesh_replace_a_detector(node, found, core):
    image, faces, _ = found
    mesh_landmarks = core("detectors.face_mesh").MESH_LANDMARKS

    def face(row):
        points = np.zeros((478, 2), np.float32)
        for five, point in zip(mesh_landmarks, faces.faces.landmarks[row], strict=True):
            points[list(five)] = point.numpy()
        return {"landmarks_xy": points, "bbox_xyxy": faces.faces.boxes[row].numpy(), "score": 0.8}

    landmarks = {"frames": [[face(0), face(1)], [face(2)]], "image_size": (96, 200)}
    meshed, crops, *_ = node("GPENDetectFaces", image=image, landmarks=landmarks).args
    assert torch.allclose(meshed.faces.landmarks, faces.faces.landmarks, atol=1e-4)
    assert len(crops) == 3
    assert len(node("GPENDetectFaces", image=image, landmarks=landmarks, max_faces=1)[0]) == 2
    assert len(node("GPENDetectFaces", image=image, landmarks=landmarks, threshold=0.9)[0]) == 0
    with pytest.raises(ValueError, match=r"640×480.*200×96"):
        node("GPENDetectFaces", image=image, landmarks={**landmarks, "image_size": (480, 640)})
    boxes = [[box(0, 0, 60, 96)], []]
    kept = node("GPENDetectFaces", image=image, landmarks=landmarks, bboxes=boxes)[0]
    assert [int(x) for x in kept.faces.boxes[:, 0]] == [10]


@pytest.mark.parametrize(
    ("bboxes", "lefts"),
    [
        ([[box(70, 10, 70, 80)], []], [80]),
        ([[box(70, 10, 70, 80)], [box(100, 0, 100, 96)]], [80, 120]),
        ([box(0, 0, 200, 96)], [10, 80, 120]),
        (box(0, 0, 70, 96), [10]),
        ([[box(0, 0, 200, 96)]], [10, 80, 120]),
        ([[box(70, 10, 70, 80), box(60, 0, 80, 96)], []], [80]),
    ],
)
def test_only_faces_inside_the_boxes_are_found(node, found, detector, bboxes, lefts):
    faces = node("GPENDetectFaces", image=found[0], detector=detector, bboxes=bboxes)[0]
    assert sorted(int(x) for x in faces.faces.boxes[:, 0]) == lefts


def test_without_any_box_no_face_is_found(node, found, detector):
    assert node("GPENDetectFaces", image=found[0], detector=detector, bboxes=[[], []])[3] == 0


def test_a_box_without_a_face_is_reported(node, found, detector, nodes, monkeypatch):
    messages = collect_warnings(monkeypatch, nodes)
    boxes = [[box(70, 10, 70, 80), box(150, 5, 40, 40)], []]
    assert node("GPENDetectFaces", image=found[0], detector=detector, bboxes=boxes)[3] == 1
    assert len(messages) == 1
    assert "150" in messages[0]
    assert "image 0" in messages[0]


@pytest.mark.parametrize("node_id", ["GPENDetectFaces", "GPENRestoreImage"])
def test_a_detection_that_is_no_face_is_left_out_and_reported(
    node, found, detector, model, nodes, monkeypatch, node_id
):
    image, faces, _ = found
    find = detector.find

    def find_no_face(pixels, **options):
        seen = find(pixels, **options)
        seen.landmarks[0] = seen.landmarks[0, [1, 0, 2, 4, 3]]  # left and right swapped
        return seen

    monkeypatch.setattr(detector, "find", find_no_face)
    messages = collect_warnings(monkeypatch, nodes)
    result = node(node_id, image=image, model=model, detector=detector).args
    assert len(messages) == 1
    assert "image 0" in messages[0]
    left = [int(x) for x in faces.faces.boxes[:, 0]]
    if node_id == "GPENDetectFaces":
        assert (result[3], len(result[1])) == (2, 2)
    else:
        assert torch.equal(result[0][0, :, : left[0] + 48], image[0, :, : left[0] + 48])
        assert not torch.equal(result[0], image)


def test_a_detection_that_is_no_face_does_not_replace_a_face(
    node, found, detector, nodes, monkeypatch
):
    find = detector.find

    def find_no_face(pixels, **options):
        seen = find(pixels, **options)
        seen.boxes[0] += torch.tensor([-5.0, -5, 5, 5])  # the largest of its image
        seen.landmarks[0] = seen.landmarks[0, [1, 0, 2, 4, 3]]
        return seen

    monkeypatch.setattr(detector, "find", find_no_face)
    collect_warnings(monkeypatch, nodes)
    options = {"image": found[0][:1], "detector": detector, "max_faces": 1}
    for boxes in (None, [[box(0, 0, 200, 96)]]):
        faces = node("GPENDetectFaces", **options, bboxes=boxes)[0]
        assert [int(x) for x in faces.faces.boxes[:, 0]] == [80]


@pytest.mark.parametrize(
    ("bboxes", "words"),
    [
        ([(0, 0, 9, 9)], r"dictionary of the numbers x, y, width and height; found \(0, 0, 9, 9\)"),
        ([None], "found None"),
        ([[{"x": 1, "y": 1}]], r"found \[\{'x': 1"),
        ([[box(0, 0, float("nan"), 9)]], "without NaN or infinity"),
    ],
)
def test_malformed_boxes_are_refused_with_a_message(node, found, detector, bboxes, words):
    with pytest.raises(ValueError, match=words):
        node("GPENDetectFaces", image=found[0], detector=detector, bboxes=bboxes)


def test_an_empty_batch_has_no_faces_and_no_preview(node, detector, model):
    image = torch.zeros(0, 96, 200, 3)
    result = node("GPENDetectFaces", image=image, detector=detector, model=model)
    assert (result[1].shape, result[2], result[3]) == ((0, SIDE, SIDE, 3), [], 0)
    assert result.ui is None


def test_the_preview_of_restore_faces_shows_the_first_crops_shrunk(node, model, monkeypatch, nodes):
    shown = []
    monkeypatch.setattr(nodes.restore, "PREVIEW_SIDE", SIDE // 2)
    monkeypatch.setattr(nodes.restore, "make_ui", lambda crops, said: shown.append(crops))
    node("GPENRestoreFaces", model=model, crops=torch.rand(20, SIDE, SIDE, 3))
    assert [crops.shape for crops in shown] == [(16, 3, SIDE // 2, SIDE // 2)]


def test_mask_values_above_1_count_as_white(node, found):
    image, faces, crops = found
    options = {"image": image, "faces": faces, "crops": crops}
    strong = node("GPENPasteBack", **options, mask=torch.full(image.shape[:3], 3.0)).args
    whole = node("GPENPasteBack", **options).args
    assert torch.equal(strong[0], whole[0])
    assert torch.equal(strong[1], whole[1])


def test_a_wrong_number_of_masks_is_refused_with_both_numbers(node, found):
    image, faces, crops = found
    with pytest.raises(ValueError, match="3 masks do not fit 2 images"):
        node("GPENPasteBack", image=image, faces=faces, crops=crops, mask=torch.ones(3, 96, 200))


def test_crops_of_nan_are_not_pasted(node, found, core):
    image, faces, crops = found
    crops = crops.clone()
    crops[2, 5, 5, 1] = float("nan")
    with pytest.raises(core("errors").ImageError, match="Crop 2 holds NaN"):
        node("GPENPasteBack", image=image, faces=faces, crops=crops)


def test_given_landmarks_that_are_no_face_are_an_error(node, found, core):
    mesh = {"landmarks_xy": np.zeros((478, 2), np.float32), "bbox_xyxy": np.array([1, 2, 3, 4.0])}
    landmarks = {"frames": [[mesh], []], "image_size": (96, 200)}
    with pytest.raises(ValueError, match=r"face 0 are not arranged like a face.*0\.00"):
        node("GPENDetectFaces", image=found[0], landmarks=landmarks)


def test_boxes_of_another_batch_are_refused_with_both_numbers(node, found, detector):
    with pytest.raises(ValueError, match="3 images do not fit a batch of 2"):
        node("GPENDetectFaces", image=found[0], detector=detector, bboxes=[[], [], []])


def test_threshold_min_size_and_max_faces_reach_the_detector(node, found, detector):
    image = found[0]
    assert node("GPENDetectFaces", image=image, detector=detector, max_faces=1)[3] == 2
    assert node("GPENDetectFaces", image=image, detector=detector, min_size=49)[3] == 0
    assert node("GPENDetectFaces", image=image, detector=detector, threshold=0.95)[3] == 0


def test_the_preview_of_detect_faces_shows_only_the_first_images(node, detector):
    preview = node("GPENDetectFaces", image=draw_scene(*[[10]] * 20), detector=detector).ui
    assert len(preview["images"]) == 16


def test_small_faces_are_shown_again_on_a_sheet(node, detector):
    preview = node("GPENDetectFaces", image=draw_scene([10, 80]), detector=detector).ui
    assert len(preview["images"]) == 2


def test_select_shows_all_crops_with_the_numbers_of_its_order(node, found, monkeypatch, nodes):
    _, faces, crops = found
    shown = []
    monkeypatch.setattr(
        nodes.select, "draw_sheets", lambda *args, **_: shown.append(args) or [args[0][0]]
    )
    options = {"order": "left to right", "indices": "1"}
    result = node("GPENSelectFaces", faces=faces, crops=crops, **options)
    assert len(result.ui["images"]) == 1
    pixels, _, numbers = shown[0]
    assert numbers == [0, 1, 0]  # in the order "left to right", image by image
    assert torch.equal(pixels[1].movedim(0, -1), result[1][0])
    assert pixels[0].max() < 0.31  # left out, so darker
    (places,) = [result.ui["gpen_faces"]]
    assert [[p["kept"] for p in picture] for picture in places] == [[False, True], [False]]
    assert [[p["number"] for p in picture] for picture in places] == [[0, 1], [0]]


def test_select_shows_one_sheet_per_image(node, found):
    _, faces, crops = found
    assert len(node("GPENSelectFaces", faces=faces, crops=crops).ui["images"]) == 2
    nothing = node("GPENSelectFaces", faces=faces, crops=crops, indices="9")
    assert nothing.ui["gpen_said"] == ["Kept 0 of 3 faces."]
    assert len(nothing.ui["images"]) == 2  # the page can take them in again
