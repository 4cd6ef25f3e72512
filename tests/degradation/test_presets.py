"""Presets and ranges: bad values are refused by name; a lower strength changes images less."""

from __future__ import annotations

import math

import pytest
from training_faces import draw_shapes

from gpen_core import Degradation, MismatchError
from gpen_core.degradation import degrade
from gpen_core.degradation.presets import MIXED, PAPER, PRESETS, SECOND_ORDER, find_preset


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (0, 0)}, {"scale": (2, 1)}, {"scale": 2}, {"scale": (1, 2, 3)},
        {"scale": ("1", "2")}, {"blur_sigma": (-1, 2)}, {"blur_sigma": (0, math.inf)},
        {"noise_sigma": (-1, 0)}, {"noise_sigma": (math.nan, 1)}, {"jpeg_quality": (0, 90)},
        {"jpeg_quality": (50, 500)}, {"motion": 1.5}, {"clean": -0.1}, {"ringing": math.nan},
        {"gray_noise": None}, {"strength": -1}, {"twice": 0.5}, {"second": "paper"},
        {"mild": 0.6, "noisy": 0.6}, {"filters": ()}, {"filters": "bicubic"}, {"filters": None},
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
