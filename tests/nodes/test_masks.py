"""Masks of Paste Faces Back and Restore Image: kinds, parsers, masks of crops.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import os

import pytest
import torch
from node_fixtures import SIDE, draw_scene


class LeftHalf:
    """A face parser that finds skin in the left half of every face."""

    size = 32

    def find_regions(self, faces, regions):
        masks = torch.zeros(len(faces), 1, 32, 32)
        masks[..., :16] = float("skin" in regions)
        return masks


@pytest.fixture
def found(node, detector, model):
    """Image, faces and white crops of two faces in one frame."""
    image = draw_scene([10, 120])
    faces, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    return image, faces, torch.ones(2, SIDE, SIDE, 3)


def paste(node, found, **options):
    image, faces, crops = found
    return node("GPENPasteBack", image=image, faces=faces, crops=crops, **options).args


def test_the_oval_is_smaller_than_the_box_and_lies_inside_it(node, found, detector, model):
    _, box = paste(node, found)
    _, oval = paste(node, found, mask_kind="oval")
    assert 0.2 < oval.sum() / box.sum() < 0.7
    assert (oval[box == 0] == 0).all()
    whole = node("GPENRestoreImage", image=found[0], model=model, detector=detector)
    tight = node(
        "GPENRestoreImage", image=found[0], model=model, detector=detector, mask_kind="oval"
    )
    assert torch.equal(whole[1], box)
    assert torch.equal(tight[1], oval)


def test_parse_pastes_the_regions_that_the_parser_finds(
    node, nodes, found, detector, model, monkeypatch
):
    monkeypatch.setattr(
        nodes.paste, "make_parser", lambda kind: LeftHalf() if kind == "parse" else None
    )
    monkeypatch.setattr(nodes.choices, "make_parser", lambda kind: LeftHalf())
    image, mask = paste(node, found, mask_kind="parse")
    middle = 10 + 24
    assert mask[0, 44, middle - 8] > 0.9
    assert mask[0, :, middle + 2 : 80].max() < 0.01
    assert torch.allclose(image[0, :, middle + 2 : 80], found[0][0, :, middle + 2 : 80], atol=0.01)
    nothing, none = paste(node, found, mask_kind="parse", regions="hair")
    assert not none.any()
    assert torch.equal(nothing, found[0])
    options = {"image": found[0], "model": model, "detector": detector, "mask_kind": "parse"}
    assert torch.equal(node("GPENRestoreImage", **options)[1], mask)
    with pytest.raises(ValueError, match="regions must be some of skin"):
        node("GPENRestoreImage", **options, regions="beard")


def test_masks_of_crops_limit_each_face(node, found, core):
    _, plain = paste(node, found)
    masks = torch.ones(2, 40, 40)
    masks[1] = 0
    _, mask = paste(node, found, crop_masks=masks)
    assert torch.allclose(mask[:, :, :80], plain[:, :, :80], atol=1e-5)
    assert not mask[:, :, 100:].any()
    with pytest.raises(ValueError, match="1 crop masks do not fit 2 crops"):
        paste(node, found, crop_masks=masks[:1])


def test_a_missing_parser_is_named_in_the_words_of_comfyui(
    node, nodes, core, found, detector, model, monkeypatch, tmp_path
):
    monkeypatch.setattr(core("checkpoints.catalog"), "search_folders", lambda: ())
    monkeypatch.setattr(nodes.host, "list_model_folders", lambda _: [tmp_path / "facedetection"])
    words = r"parsing_parsenet\.pth`.*facedetection.*https://.*parsing_bisenet\.pth.*oval"
    error = core("errors").CheckpointError
    with pytest.raises(error, match=words) as caught:
        paste(node, found, mask_kind="parse")
    assert "gpen download" not in str(caught.value)
    with pytest.raises(error, match=words):
        node("GPENRestoreImage", image=found[0], model=model, detector=detector, mask_kind="parse")


@pytest.mark.parametrize("node_id", ["GPENPasteBack", "GPENRestoreImage"])
def test_a_replaced_parser_is_noticed_only_where_it_is_used(
    node, nodes, monkeypatch, tmp_path, node_id
):
    monkeypatch.setattr(nodes.host, "list_model_folders", lambda _: [tmp_path])
    fingerprint = node.classes[node_id].fingerprint_inputs
    kinds = ({}, {"mask_kind": "oval"}, {"mask_kind": "parse"}, {"mask_kind": None})
    file = tmp_path / "parsing_bisenet.pth"
    file.write_bytes(b"x")
    before = [fingerprint(image=None, detector=None, **kind) for kind in kinds]
    os.utime(file, ns=(1, 1))
    after = [fingerprint(image=None, detector=None, **kind) for kind in kinds]
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True, True, False, False,
    ]  # fmt: skip
