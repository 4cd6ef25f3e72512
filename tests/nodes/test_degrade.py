"""The node Degrade Images: sizes, batches, channels, seeds and presets.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import pytest
import torch
from node_fixtures import draw_scene


def degrade(node, image, **widgets):
    return node("GPENDegrade", image=image, **widgets).args[0]


@pytest.mark.parametrize("preset", ["paper", "second-order", "mixed", "traces"])
def test_every_preset_keeps_size_and_range_and_follows_the_seed(node, preset):
    image = draw_scene([10], [120], [])
    first, again, other = (degrade(node, image, preset=preset, seed=seed) for seed in (5, 5, 6))
    assert first.shape == image.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_batch_is_degraded_as_the_library_degrades_it(node, core):
    image = draw_scene([10], [120])
    paper = core("degradation.presets").PAPER
    expected = core("degradation.degrade").degrade(
        image.movedim(-1, 1), seed=2**64 - 1, degradation=paper, face_size=256
    )
    found = degrade(node, image, seed=2**64 - 1).movedim(-1, 1)
    # Degraded one by one or together, only roundings in the JPEG may differ.
    assert (found - expected).abs().mean() < 1e-3
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_alpha_stays_as_it_is(node, channels):
    image = draw_scene([10])
    image = torch.cat([image, image[..., :1]], dim=-1)[..., :channels]
    found = degrade(node, image)
    assert found.shape == (1, 96, 200, 4 if channels in (2, 4) else 3)
    if channels in (2, 4):
        assert torch.equal(found[..., -1], image[..., -1])


def test_strength_0_changes_nothing_and_more_strength_changes_more(node):
    image = draw_scene([10])
    errors = [(degrade(node, image, strength=s) - image).abs().mean().item() for s in (0, 0.3, 1)]
    assert errors[0] == 0
    assert errors[0] < errors[1] < errors[2]


def test_blur_is_scaled_with_the_size_of_the_faces(node, core, monkeypatch):
    image = draw_scene([10], height=64, width=64)
    asked = []
    inner = core("degradation.degrade")._apply_passes

    def listen(images, rounds, blur_scale):
        asked.append(blur_scale)
        return inner(images, rounds, blur_scale)

    monkeypatch.setattr(core("degradation.degrade"), "_apply_passes", listen)
    for face_size in (0, 64, 512):
        degrade(node, image, face_size=face_size)
    assert asked == [64 / 256, 64 / 256, 512 / 256]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 300), (33, 18)])
def test_images_of_any_size_come_back_at_their_size(node, height, width):
    image = torch.rand(2, height, width, 3, generator=torch.Generator().manual_seed(0))
    assert degrade(node, image, preset="second-order").shape == image.shape


def test_an_empty_batch_stays_empty(node):
    assert degrade(node, torch.zeros(0, 32, 48, 3)).shape == (0, 32, 48, 3)
