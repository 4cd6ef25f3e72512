"""Presets and ranges: bad values are refused by name; a lower strength changes images less."""

from __future__ import annotations

import math

import pytest
import torch
from training_faces import draw_shapes

from gpen_core import Degradation, MismatchError
from gpen_core.degradation import degrade
from gpen_core.degradation.presets import MIXED, OLD, PAPER, PRESETS, SECOND_ORDER, find_preset


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (0, 0)}, {"scale": (2, 1)}, {"scale": 2}, {"scale": (1, 2, 3)},
        {"scale": ("1", "2")}, {"blur_sigma": (-1, 2)}, {"blur_sigma": (0, math.inf)},
        {"noise_sigma": (-1, 0)}, {"noise_sigma": (math.nan, 1)}, {"jpeg_quality": (0, 90)},
        {"jpeg_quality": (50, 500)}, {"motion": 1.5}, {"clean": -0.1}, {"ringing": math.nan},
        {"gray_noise": None}, {"strength": -1}, {"twice": 0.5}, {"second": "paper"},
        {"mild": 0.6, "noisy": 0.6}, {"grey": 0.6, "sepia": 0.6}, {"sepia": -1},
        {"filters": ()}, {"filters": "bicubic"}, {"filters": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(values):
    with pytest.raises(MismatchError, match=next(iter(values))):
        Degradation(**values)


def test_a_refused_value_is_shown_with_the_choices():
    with pytest.raises(MismatchError, match=r"area, bilinear, bicubic, found .*lanczos"):
        Degradation(filters=("lanczos",))
    with pytest.raises(MismatchError, match=r"scale .* within 0\.001 … inf, found \(2, 1\)"):
        Degradation(scale=(2, 1))
    with pytest.raises(MismatchError, match=r"one of paper, .*, found 'cruel'"):
        find_preset("cruel")


@pytest.mark.parametrize("strength", [-1, math.nan, 9, "half"])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(MismatchError, match=r"must lie in|within 1 … 100"):
        PAPER.weakened(strength)


@pytest.mark.parametrize("preset", ["paper", "second-order"])
def test_a_lower_strength_changes_the_image_less(preset):
    images = draw_shapes(8).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    errors = [
        (degrade(images, seed=0, degradation=PRESETS[preset].weakened(strength)) - images)
        .abs()
        .mean()
        .item()
        for strength in (0, 0.01, 0.3, 0.6, 1)
    ]
    assert errors == sorted(errors)
    assert errors[0] == 0
    assert errors[1] < 0.02
    assert PRESETS[preset].weakened(1) == PRESETS[preset]


def test_a_lower_strength_also_weakens_what_few_images_get():
    images = draw_shapes(200, 32, 32).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    for preset in (MIXED, SECOND_ORDER):
        weak, strong = (
            degrade(images, seed=0, degradation=preset.weakened(strength)) for strength in (0.01, 1)
        )
        assert (weak - images).abs().mean(dim=(1, 2, 3)).max() < 0.02
        assert not (weak == strong).all(dim=(1, 2, 3))[~(strong == images).all(dim=(1, 2, 3))].any()


def test_a_fifth_of_old_photographs_has_one_tone_and_the_others_are_as_before():
    images = draw_shapes(400, 16, 16)
    old, mixed = (degrade(images, seed=3, degradation=preset) for preset in (OLD, MIXED))
    changed = (old != mixed).any(dim=(1, 2, 3))
    assert 0.14 < changed.float().mean() < 0.24  # a clean image keeps its colour
    grey = (old[:, 0] == old[:, 1]).all(dim=(1, 2)) & (old[:, 1] == old[:, 2]).all(dim=(1, 2))
    sepia = changed & ~grey
    assert (grey & changed).sum() > 2 * sepia.sum() > 0
    luma = (mixed * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)
    assert torch.allclose(old[changed][:, 1], luma[changed], atol=1e-5)
    assert (old[sepia][:, 0] + 1e-6 >= old[sepia][:, 1]).all()
    assert (old[sepia][:, 1] + 1e-6 >= old[sepia][:, 2]).all()
    second = degrade(images[7:9], seed=3, degradation=OLD, first=7)
    assert torch.allclose(second, old[7:9], atol=0.02)
    gentle, plain = (
        degrade(images, seed=3, degradation=preset.weakened(0.01)) for preset in (OLD, MIXED)
    )
    assert 0 < (gentle - plain).abs().max() < 0.02
