"""`degrade`: reproducible, independent of the batch; each range has its effect."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
import torch
from training_faces import draw_shapes

from gpen_core import Degradation, MismatchError
from gpen_core.degradation import degrade
from gpen_core.degradation.presets import MIXED, PAPER, PRESETS, SECOND_ORDER, SECOND_PASS
from gpen_core.evaluation.measures import psnr

module = importlib.import_module("gpen_core.degradation.degrade")
MILD = Degradation((0.3, 0.3), 0.0, (1, 1), (1, 1), 0.0, (95, 95))


@pytest.mark.parametrize("preset", PRESETS)
def test_degrading_is_reproducible_and_differs_by_seed(preset):
    images = draw_shapes(4)
    first, again, other = (
        degrade(images, seed=seed, degradation=PRESETS[preset]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1


def test_seeds_that_share_their_lowest_32_bits_differ():
    images = draw_shapes(1)
    assert not torch.equal(degrade(images, seed=5), degrade(images, seed=5 + (1 << 32)))


@pytest.mark.parametrize("preset", ["paper", "second-order", "mixed"])
def test_an_image_does_not_depend_on_those_after_it(preset):
    images = draw_shapes(9, 64, 48)
    together = degrade(images, seed=3, degradation=PRESETS[preset])
    for count in (1, 2, 5):
        apart = degrade(images[:count], seed=3, degradation=PRESETS[preset])
        # Another canvas sums in another order, so that a level in the JPEG may round differently.
        assert psnr(apart, together[:count]).min() > 45


@pytest.mark.parametrize("preset", ["paper", "second-order", "mixed"])
@pytest.mark.parametrize("size", [64, 160, 256])
def test_before_jpeg_an_image_depends_on_no_other_of_its_batch(preset, size, monkeypatch):
    def change_as_jpeg(pixels, quality):
        """Change the pixels beyond an image as JPEG does, but round nothing."""
        rows, columns = (torch.arange(side) // 4 for side in pixels.shape[2:])
        return (0.5 * pixels + 0.3 * ((rows[:, None] + columns) % 2)).clamp(0, 1)

    monkeypatch.setattr(module, "compress", change_as_jpeg)
    images = draw_shapes(16, size, size)
    together = degrade(images, seed=3, degradation=PRESETS[preset])
    for i in range(16):
        apart = degrade(images[i : i + 1], seed=3, degradation=PRESETS[preset], first=i)
        assert (apart[0] - together[i]).abs().max() < 1e-5


def test_a_sigma_of_zero_does_not_blur():
    images = draw_shapes(4).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    sharp = Degradation((0, 0), 0.5, (1, 1), (0, 0), 0.0, (100, 100))
    assert psnr(degrade(images, seed=0, degradation=sharp), images).min() > 35


@pytest.mark.parametrize(("height", "width"), [(40, 72), (17, 9), (5, 33), (1, 1)])
@pytest.mark.parametrize("degradation", [SECOND_ORDER, MIXED])
def test_images_of_any_shape_keep_it(height, width, degradation):
    images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))
    degraded = degrade(images, seed=1, degradation=degradation)
    assert degraded.shape == images.shape
    assert degraded.isfinite().all()


def test_a_uniform_image_keeps_its_colour_up_to_the_edges():
    colour = torch.tensor([0.8, 0.5, 0.3]).view(1, 3, 1, 1)
    images = colour.expand(8, 3, 40, 56)
    silent = replace(
        SECOND_ORDER, noise_sigma=(0, 0), second=replace(SECOND_PASS, noise_sigma=(0, 0))
    )
    assert (degrade(images, seed=0, degradation=silent) - colour).abs().max() < 3 / 255


def test_half_precision_images_stay_in_half_precision():
    images = draw_shapes(2)
    half = degrade(images.half(), seed=0)
    assert half.dtype == torch.float16
    assert psnr(half.float(), degrade(images, seed=0)).min() > 40


def test_an_empty_batch_is_ordinary_and_a_wrong_shape_is_refused():
    assert degrade(torch.zeros(0, 3, 8, 8), seed=0).shape == (0, 3, 8, 8)
    with pytest.raises(MismatchError, match=r"\[B, 3, H, W\]"):
        degrade(torch.zeros(3, 8, 8), seed=0)
    with pytest.raises(MismatchError, match=r"\[B, 3, H, W\].* found \[1, 4, 8, 8\]"):
        degrade(torch.zeros(1, 4, 8, 8), seed=0)
    with pytest.raises(MismatchError, match="floating point"):
        degrade(torch.zeros(1, 3, 8, 8).byte(), seed=0)


def test_ranges_close_to_nothing_change_next_to_nothing():
    images = draw_shapes(2).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    nothing = Degradation((0.05, 0.06), 0.0, (1, 1), (0, 0), 0.0, (100, 100))
    assert psnr(degrade(images, seed=0, degradation=nothing), images).min() > 40


@pytest.mark.parametrize(
    "harder",
    [
        {"blur_sigma": (3.0, 3.0)},
        {"scale": (8, 8)},
        {"noise_sigma": (25, 25)},
        {"noise_sigma": (25, 25), "shot_noise": 1.0},
        {"jpeg_quality": (5, 5)},
        {"second": PAPER, "twice": 1.0},
    ],
)
def test_each_range_of_a_degradation_has_its_effect(harder):
    images = draw_shapes(4)
    better = psnr(degrade(images, seed=0, degradation=MILD), images)
    worse = psnr(degrade(images, seed=0, degradation=replace(MILD, **harder)), images)
    assert (worse < better - 1).all()


def test_ringing_overshoots_beside_edges():
    images = torch.full((4, 3, 64, 64), 0.3)
    images[..., 32:] = 0.7
    quiet = replace(MILD, noise_sigma=(0, 0), jpeg_quality=(100, 100))
    assert degrade(images, seed=0, degradation=quiet).max() < 0.71
    assert degrade(images, seed=0, degradation=replace(quiet, ringing=1.0)).max() > 0.73


def test_blur_is_the_same_share_of_a_face_at_any_size():
    blurred = replace(MILD, blur_sigma=(3, 3), noise_sigma=(0, 0), jpeg_quality=(100, 100))
    large = torch.zeros(1, 3, 256, 256)
    large[..., 128:] = 1
    small = torch.nn.functional.avg_pool2d(large, 4)
    edge = degrade(large, seed=0, degradation=blurred)[0, 0, 128, 100:156]
    small_edge = degrade(small, seed=0, degradation=blurred)[0, 0, 32, 25:39]
    assert (edge.view(14, 4).mean(1) - small_edge).abs().max() < 0.1
    sharp = degrade(large, seed=0, degradation=blurred, face_size=32)[0, 0, 128]
    assert ((sharp > 0.05) & (sharp < 0.95)).sum() <= 2


def test_a_share_of_images_stays_clean_or_nearly_so():
    images = draw_shapes(400, 32, 32)
    spared = replace(PAPER, clean=0.25, mild=0.5, scale=(4.0, 8.0))
    degraded = degrade(images, seed=0, degradation=spared)
    same = (degraded == images).all(dim=(1, 2, 3)).float().mean().item()
    near = (psnr(degraded, images) > 21).float().mean().item()
    assert same == pytest.approx(0.25, abs=0.06)
    assert near == pytest.approx(0.25 + 0.75 * 0.5, abs=0.08)


def test_a_share_of_images_is_sharp_but_noisy():
    halves = torch.zeros(400, 3, 64, 64)
    halves[..., 32:] = 1
    hard = replace(PAPER, noise_sigma=(0, 0), scale=(8, 8), blur_sigma=(3, 3))
    ranges = replace(hard, noisy=0.5, mild=0.25)
    degraded = degrade(halves.mul(0.6).add(0.2), seed=0, degradation=ranges)
    noisy = degraded[..., 48:].std(dim=(1, 2, 3)) > 0.01
    assert noisy.float().mean().item() == pytest.approx(0.5, abs=0.08)
    step = degraded[..., 33].mean(dim=(1, 2)) - degraded[..., 30].mean(dim=(1, 2))
    assert (step[noisy] > 0.5).all()
    assert (step > 0.5).float().mean().item() == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1.5},
        {"seed": 1, "first": -1},
        {"seed": 1, "face_size": 0},
        {"seed": 1, "face_size": -5},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(MismatchError, match=list(options)[-1]):
        degrade(torch.rand(1, 3, 32, 32), **options)


def test_values_beyond_0_to_1_come_back_within():
    images = torch.rand(8, 3, 32, 32) * 2.3 - 0.45  # overshoot, as upscalers make it
    found = degrade(images, seed=1, degradation=replace(MIXED, clean=0.5))
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(degrade(images, seed=1), degrade(images.clamp(0, 1), seed=1))
