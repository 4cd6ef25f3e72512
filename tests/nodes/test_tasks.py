"""The nodes of the other tasks: results of small networks, masks, and refused models."""

from __future__ import annotations

import pytest
import torch
from node_fixtures import draw_scene


def test_colorizing_keeps_the_luma_and_leaves_the_rest_bit_exact(node, detector, model):
    scene = draw_scene([20], [])
    image, mask = node("GPENColorizeFaces", image=scene, detector=detector, model=model).args
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(image @ weights, scene @ weights, atol=1e-5)
    assert torch.equal(image[mask == 0], scene[mask == 0])
    assert torch.equal(image[1], scene[1])  # it has no face
    assert not torch.equal(image[0], scene[0])


def test_colours_are_spread_over_a_mask(node, detector, model):
    scene, spread = draw_scene([20]), torch.zeros(1, 96, 200)
    spread[:, :, :150] = 1
    image, mask = node(
        "GPENColorizeFaces", image=scene, detector=detector, model=model, spread=spread
    ).args
    assert torch.equal(mask, spread)
    assert torch.equal(image[:, :, 150:], scene[:, :, 150:])
    with pytest.raises(ValueError, match=r"200×96.*64×64"):
        node("GPENColorizeFaces", image=scene, model=model, spread=torch.ones(1, 64, 64))


def test_only_holes_are_painted(node, detector, model):
    scene, holes = draw_scene([20]), torch.zeros(1, 96, 200)
    holes[:, 40:50, 40:50] = 1
    holes[:, 40:50, 180:190] = 1  # no face is there
    image, mask = node(
        "GPENInpaintFaces", image=scene, detector=detector, model=model, mask=holes
    ).args
    assert torch.equal(image[holes == 0], scene[holes == 0])
    assert not torch.equal(image[:, 40:50, 40:50], scene[:, 40:50, 40:50])
    assert mask[:, :, 180:].max() == 0
    with pytest.raises(ValueError, match=r"200×96.*found 1 of 64×64"):
        node("GPENInpaintFaces", image=scene, model=model, mask=torch.ones(1, 64, 64))


def test_a_face_is_painted_for_each_map(node, model):
    maps = torch.zeros(2, 32, 32, 3)
    maps[:, 8:24, 8:24, 0] = 0.8
    (faces,) = node("GPENFacesFromSegmentation", maps=maps, model=model).args
    assert faces.shape == (2, 64, 64, 3)
    assert 0 <= faces.min() < faces.max() <= 1
    with pytest.raises(ValueError, match="colours outside the palette"):
        node("GPENFacesFromSegmentation", maps=maps + 0.1, model=model)
    near = {"maps": maps + 0.01, "model": model, "other_colors": "nearest"}
    assert torch.equal(node("GPENFacesFromSegmentation", **near).args[0], faces)


@pytest.mark.parametrize(
    ("node_id", "task", "words"),
    [
        ("GPENColorizeFaces", "restore", "colourises .* restores faces"),
        ("GPENInpaintFaces", "colorize", "fills holes .* node Colorize Faces"),
        ("GPENFacesFromSegmentation", "restore", "maps .* node Restore Image"),
        ("GPENRestoreImage", "segment-to-face", "restores .* node Faces from Segmentation"),
        ("GPENRestoreFaces", "inpaint", "restores .* node Inpaint Faces"),
    ],
)
def test_a_model_of_another_task_is_refused_in_words(node, core, model, node_id, task, words):
    model.network.task = task
    name = {"GPENFacesFromSegmentation": "maps", "GPENRestoreFaces": "crops"}.get(node_id, "image")
    extra = {"mask": torch.zeros(1, 64, 64)} if node_id == "GPENInpaintFaces" else {}
    with pytest.raises(core("errors").CheckpointError, match=words):
        node(node_id, model=model, **{name: torch.zeros(1, 64, 64, 3)}, **extra)
