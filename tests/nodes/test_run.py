"""Images, faces and crops on their way through the nodes.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import socket

import pytest
import torch
from node_fixtures import SIDE, draw_scene


def test_detect_outputs_faces_crops_boxes_and_count(node, detector, model):
    image = draw_scene([10, 80], [], [120])
    faces, crops, boxes, count, *_ = node(
        "GPENDetectFaces", image=image, detector=detector, model=model
    ).args
    assert count == len(faces) == len(crops) == 3
    assert crops.shape == (3, SIDE, SIDE, 3)
    assert [len(frame) for frame in boxes] == [2, 0, 1]
    box = boxes[2][0]
    assert (box["x"], box["y"], box["width"], box["height"]) == (120, 20, 48, 48)
    assert box["label"] == "face"
    assert faces.faces.image_index.tolist() == [0, 0, 2]


def test_crop_size_is_the_models_or_the_widgets_or_512(node, detector, model):
    image = draw_scene([10])
    for inputs, side in (
        ({"model": model}, SIDE),
        ({"model": model, "crop_size": "256"}, 256),
        ({}, 512),
    ):
        crops = node("GPENDetectFaces", image=image, detector=detector, **inputs)[1]
        assert crops.shape[1:3] == (side, side)


def test_a_batch_without_faces_goes_through_every_node_unchanged(node, detector, model):
    image = draw_scene([], [])
    faces, crops, boxes, count, *_ = node(
        "GPENDetectFaces", image=image, detector=detector, model=model
    ).args
    assert (count, boxes, crops.shape) == (0, [[], []], (0, SIDE, SIDE, 3))
    faces, crops, rest = node("GPENSelectFaces", faces=faces, crops=crops).args
    assert len(faces) == len(rest) == 0
    result = node("GPENRestoreFaces", model=model, crops=crops)
    restored = result[0]
    assert restored.shape == (0, SIDE, SIDE, 3)
    assert "images" not in result.ui
    for inputs in ({"crops": restored}, {}):
        pasted, mask = node("GPENPasteBack", image=image, faces=faces, **inputs).args
        assert torch.equal(pasted, image)
        assert mask.shape == image.shape[:3]
        assert not mask.any()
    whole, mask, *_ = node("GPENRestoreImage", image=image, model=model, detector=detector).args
    assert torch.equal(whole, image)
    assert not mask.any()


def test_no_frame_is_lost_and_frames_without_a_face_keep_their_pixels(node, detector, model):
    image = draw_scene([], [10, 80, 140], [80], [])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    restored = node("GPENRestoreFaces", model=model, crops=crops)[0]
    pasted, mask = node("GPENPasteBack", image=image, faces=faces, crops=restored).args
    assert pasted.shape == image.shape
    assert torch.equal(pasted[[0, 3]], image[[0, 3]])
    assert [bool(m.any()) for m in mask] == [False, True, True, False]
    assert torch.equal(pasted[mask == 0], image[mask == 0])
    assert not torch.equal(pasted[1], image[1])


def test_restore_image_equals_the_three_single_nodes(node, detector, model):
    image = draw_scene([10, 120], [80])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    restored = node("GPENRestoreFaces", model=model, crops=crops)[0]
    single = node("GPENPasteBack", image=image, faces=faces, crops=restored).args
    whole = node("GPENRestoreImage", image=image, model=model, detector=detector).args[:2]
    for a, b in zip(single, whole, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_strength_mixes_the_restored_image_with_the_image_itself(node, detector, model):
    image = draw_scene([10, 120], [80])
    options = {"image": image, "model": model, "detector": detector}
    images, masks = zip(
        *(node("GPENRestoreImage", **options, strength=s).args[:2] for s in (0, 0.4, 1)),
        strict=True,
    )
    assert torch.allclose(images[0], image, atol=1e-6)
    assert torch.allclose(images[1], image.lerp(images[2], 0.4), atol=1e-5)
    assert torch.equal(masks[0], masks[2])


@pytest.mark.parametrize(("detail", "same"), [("on", True), ("off", False)])
def test_detail_finer_than_the_crops_is_kept_or_dropped(node, detector, model, detail, same):
    image = draw_scene([10, 120])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    pasted, mask = node("GPENPasteBack", image=image, faces=faces, crops=crops, detail=detail).args
    assert mask.max() == 1
    assert torch.allclose(pasted, image, atol=1e-5) == same


def test_lazy_crops_are_requested_only_if_there_are_faces(node, detector, model):
    for node_id in ("GPENPasteBack", "GPENSelectFaces"):
        status = node.classes[node_id].check_lazy_status
        some, none = (
            node("GPENDetectFaces", image=draw_scene(lefts), detector=detector, model=model)[0]
            for lefts in ([10], [])
        )
        assert status(faces=some, crops=None, image=None, feather=0.1) == ["crops"]
        assert status(faces=none, crops=None, image=None, feather=0.1) == []


@pytest.mark.parametrize("side", [32, 64, 200])
def test_crops_of_another_size_paste_in_place(node, detector, model, side):
    image = draw_scene([10])
    faces, _crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    white = torch.ones(1, side, side, 3)
    pasted, mask = node("GPENPasteBack", image=image, faces=faces, crops=white).args
    centre = pasted[0, 44, 34]
    assert torch.allclose(centre, torch.ones(3), atol=1e-3)
    ys, xs = mask[0].nonzero(as_tuple=True)
    assert (float(xs.float().mean()), float(ys.float().mean())) == pytest.approx(
        (33.5, 43.5), abs=3
    )


def test_alpha_stays(node, detector, model):
    rgb = draw_scene([10])
    alpha = torch.rand(1, 96, 200, 1, generator=torch.Generator().manual_seed(2))
    image = torch.cat([rgb, alpha], dim=3)
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    assert crops.shape[-1] == 3
    pasted = node("GPENPasteBack", image=image, faces=faces, crops=crops)[0]
    restored = node("GPENRestoreImage", image=image, model=model, detector=detector)[0]
    for result in (pasted, restored):
        assert torch.equal(result[..., 3:], alpha)


def test_alpha_enlarged_for_a_background_stays_between_0_and_1(node, detector, model):
    alpha = (torch.arange(200) % 20 < 10).float().expand(1, 96, 200)[..., None]
    image = torch.cat([draw_scene([10]), alpha], dim=3)
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    background = draw_scene([10], height=192, width=400)
    pasted = node("GPENPasteBack", image=image, faces=faces, crops=crops, background=background)[0]
    assert pasted.shape == (1, 192, 400, 4)
    assert 0 <= pasted[..., 3].min() < 0.1 < 0.9 < pasted[..., 3].max() <= 1


def test_one_channel_and_half_precision_images_work(node, detector, model):
    image = draw_scene([10])
    faces, _, *_ = node("GPENDetectFaces", image=image.half(), detector=detector, model=model).args
    assert len(faces) == 1
    options = {"model": model, "detector": detector}
    result, mask, *_ = node("GPENRestoreImage", image=image.half(), **options).args
    assert torch.equal(result[mask == 0].half(), image.half()[mask == 0])
    grey = image.mean(dim=3, keepdim=True)
    grey_result = node("GPENRestoreImage", image=grey, model=model, detector=detector)[0]
    assert torch.equal(grey_result, grey.expand(-1, -1, -1, 3))


def test_inputs_are_never_modified(node, detector, model):
    image = draw_scene([10, 80], [])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    mask = torch.rand(image.shape[:3], generator=torch.Generator().manual_seed(3))
    background = image.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    values = [image, crops, mask, background]
    copies = [value.clone() for value in values]
    node("GPENRestoreFaces", model=model, crops=crops, strength=0.5)
    node("GPENSelectFaces", faces=faces, crops=crops, region=mask)
    node("GPENCropFaces", image=image, faces=faces, size="256")
    node("GPENPasteBack", image=image, faces=faces, crops=crops, mask=mask, background=background)
    node("GPENRestoreImage", image=image, model=model, detector=detector)
    for value, copy in zip(values, copies, strict=True):
        assert torch.equal(value, copy)


def test_nothing_is_downloaded_while_nodes_are_listed_or_run(node, nodes, detector, monkeypatch):
    opened = []

    def refuse(*args, **kwargs):
        opened.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for cls in nodes.NODES:
        cls.GET_SCHEMA()
    model = node("LoadGPEN")[0]
    with pytest.raises(Exception, match=r"detection_Resnet50_Final\.pth.*https://"):
        node("LoadGPENFaceDetector", detector="retinaface_resnet50")
    restored, mask, *_ = node(
        "GPENRestoreImage", image=draw_scene([10]), model=model, detector=detector
    ).args
    assert mask.any()
    assert restored.shape == (1, 96, 200, 3)
    assert not opened


def test_a_mask_limits_where_faces_are_pasted(node, detector, model):
    image = draw_scene([10])
    faces, _, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    white = torch.ones(1, SIDE, SIDE, 3)
    limit = torch.zeros(1, 96, 200)
    limit[:, :, :34] = 1
    pasted, mask = node("GPENPasteBack", image=image, faces=faces, crops=white, mask=limit).args
    assert torch.equal(pasted[:, :, 34:], image[:, :, 34:])
    assert not mask[:, :, 34:].any()
    assert mask[:, :, :34].any()


def test_an_upscaled_background_gives_the_result_its_size(node, detector, model):
    image = draw_scene([10], [])
    background = image.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    faces, _, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    white = torch.ones(1, SIDE, SIDE, 3)
    pasted, mask = node(
        "GPENPasteBack", image=image, faces=faces, crops=white, background=background
    ).args
    assert pasted.shape == background.shape
    assert mask.shape == background.shape[:3]
    assert torch.equal(pasted[1], background[1])
    assert torch.allclose(pasted[0, 88, 68], torch.ones(3), atol=1e-3)
