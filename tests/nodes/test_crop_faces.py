"""Crop Faces: other images by the same faces, more around them, a mask for every crop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from node_fixtures import draw_scene


@pytest.fixture
def scene():
    return draw_scene([10, 120])


@pytest.fixture
def faces(node, detector, scene):
    return node("GPENDetectFaces", image=scene, detector=detector, crop_size="256")[0]


def enlarge(image, height, width):
    return F.interpolate(image.movedim(-1, 1), (height, width), mode="bilinear").movedim(1, -1)


def test_a_larger_version_gives_the_same_crops(node, faces, scene):
    own = node("GPENCropFaces", image=scene, faces=faces)[1]
    larger = node("GPENCropFaces", image=enlarge(scene, 288, 600), faces=faces)
    assert larger[1].shape == own.shape
    assert (larger[1] - own).abs().mean() < 0.02
    assert torch.equal(larger[0].alignment.affine, faces.alignment.affine)  # for Paste Faces Back


def test_sides_of_whole_tiles_are_accepted(node, faces, scene):
    depth = enlarge(scene, 104, 208)
    assert node("GPENCropFaces", image=depth, faces=faces)[1].shape == (2, 256, 256, 3)


@pytest.mark.parametrize("shape", [(1, 96, 96, 3), (2, 96, 200, 3)])
def test_another_scene_is_refused(node, faces, shape):
    with pytest.raises(ValueError, match="but this image is"):
        node("GPENCropFaces", image=torch.zeros(shape), faces=faces)


def test_a_crop_factor_shows_the_middle_smaller(node, faces, scene):
    close = node("GPENCropFaces", image=scene, faces=faces, size="512")[1]
    wide = node("GPENCropFaces", image=scene, faces=faces, crop_factor=2.0)[1]
    middle = wide[:, 64:192, 64:192]
    assert (enlarge(close, 128, 128) - middle).abs().mean() < 0.05


def test_a_wide_crop_changes_the_same_part_of_the_photograph(node, detector, scene):
    masks = []
    for factor in (1.0, 2.0):
        faces, crops, *_ = node(
            "GPENDetectFaces", image=scene, detector=detector, crop_size="256", crop_factor=factor
        )
        masks.append(node("GPENPasteBack", image=scene, faces=faces, crops=crops)[1])
    assert (masks[0] - masks[1]).abs().max() < 1e-5


def test_a_wide_crop_pasted_unchanged_gives_the_photograph(node, detector, scene):
    faces, crops, *_ = node(
        "GPENDetectFaces", image=scene, detector=detector, crop_size="512", crop_factor=2.0
    )
    pasted = node("GPENPasteBack", image=scene, faces=faces, crops=crops)[0]
    assert (pasted - scene).abs().max() < 0.02


def test_crop_factors_replace_each_other(node, detector, scene):
    wide = node("GPENDetectFaces", image=scene, detector=detector, crop_size="256", crop_factor=3.0)
    close = node("GPENDetectFaces", image=scene, detector=detector, crop_size="256")
    again = node("GPENCropFaces", image=scene, faces=wide[0])
    assert (again[1] - close[1]).abs().max() < 1e-5
    assert again[0].alignment.crop_factor == 1


def test_masks_show_each_face_in_its_crop(node, detector, scene):
    for factor in (1.0, 2.0):
        faces, _, _, _, masks, _ = node(
            "GPENDetectFaces", image=scene, detector=detector, crop_size="256", crop_factor=factor
        )
        assert masks.shape == (2, 256, 256)
        assert (masks.min(), masks.max()) == (0, 1)
        whole = torch.ones(2, 256, 256, 3)
        black = torch.zeros_like(scene)
        given = node("GPENPasteBack", image=black, faces=faces, crops=whole, mask_kind="oval")[1]
        drawn = node(
            "GPENPasteBack", image=black, faces=faces, crops=masks[..., None].expand(-1, -1, -1, 3),
            detail="off",
        )[0]  # fmt: skip
        assert (drawn[..., 0] - given).abs().max() < 0.05


def test_no_face_gives_no_mask(node, detector):
    image = draw_scene([])
    assert node("GPENDetectFaces", image=image, detector=detector)[4].shape == (0, 512, 512)


def test_a_crop_factor_out_of_range_is_refused(node, faces, scene):
    with pytest.raises(ValueError, match="crop_factor must be a number from 1"):
        node("GPENCropFaces", image=scene, faces=faces, crop_factor=0.5)
