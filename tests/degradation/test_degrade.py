"""Degradations: reproducible, independent of the batch, each part with its effect."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace

import pytest
import torch

from gpen_core import MismatchError
from gpen_core.degradation import degrade
from gpen_core.degradation.blurs import MOST_TAPS, blurs, convolve, sincs
from gpen_core.degradation.draws import PER_ROUND, draw_round, generator
from gpen_core.degradation.presets import AGAIN, MIXED, PAPER, PRESETS, SECOND_ORDER
from gpen_core.degradation.resample import FILTERS, Canvas, resize
from gpen_core.training import Degradation, losses

degradations = importlib.import_module("gpen_core.degradation.degrade")
MILD = Degradation((0.3, 0.3), 0.0, (1, 1), (1, 1), 0.0, (95, 95))


def shapes(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """[count, 3, height, width]: shapes with edges, cheap stand-ins for faces."""
    draw = torch.Generator().manual_seed(7)
    noise = torch.randn(count, 3, height // 8, width // 8, generator=draw)
    blobs = torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear")
    return ((blobs > 0) * 120 + blobs * 20 + 60).clamp(0, 255).round() / 255


@pytest.mark.parametrize("preset", PRESETS)
def test_degrading_is_reproducible_and_differs_by_seed(preset):
    images = shapes(4)
    first, again, other = (
        degrade(images, seed=seed, degradation=PRESETS[preset]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1


def test_seeds_that_share_their_lowest_32_bits_differ():
    images = shapes(1)
    assert not torch.equal(degrade(images, seed=5), degrade(images, seed=5 + (1 << 32)))


@pytest.mark.parametrize("preset", ["paper", "second-order", "mixed"])
def test_an_image_is_degraded_alike_whatever_follows_it(preset):
    images = shapes(9, 64, 48)
    together = degrade(images, seed=3, degradation=PRESETS[preset])
    for count in (1, 2, 5):
        apart = degrade(images[:count], seed=3, degradation=PRESETS[preset])
        # Another canvas adds in another order: at most a rounding in the JPEG tips over.
        assert losses.psnr(apart, together[:count]).min() > 45


@pytest.mark.parametrize("preset", ["paper", "second-order", "mixed"])
@pytest.mark.parametrize("size", [64, 160, 256])
def test_before_its_jpeg_an_image_is_the_same_whatever_follows_it(preset, size, monkeypatch):
    def instead_of_jpeg(pixels, quality):
        """Changes what lies beyond an image as JPEG does, but rounds nothing."""
        rows, columns = (torch.arange(side) // 4 for side in pixels.shape[2:])
        return (0.5 * pixels + 0.3 * ((rows[:, None] + columns) % 2)).clamp(0, 1)

    monkeypatch.setattr(degradations, "compress", instead_of_jpeg)
    images = shapes(16, size, size)
    together = degrade(images, seed=3, degradation=PRESETS[preset])
    for i in range(16):
        apart = degrade(images[i : i + 1], seed=3, degradation=PRESETS[preset], first=i)
        assert (apart[0] - together[i]).abs().max() < 1e-5


def test_no_blur_is_asked_for_by_zero():
    images = shapes(4).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    sharp = Degradation((0, 0), 0.5, (1, 1), (0, 0), 0.0, (100, 100))
    assert losses.psnr(degrade(images, seed=0, degradation=sharp), images).min() > 35


@pytest.mark.parametrize(("height", "width"), [(40, 72), (17, 9), (5, 33), (1, 1)])
@pytest.mark.parametrize("degradation", [SECOND_ORDER, MIXED])
def test_images_of_any_shape_keep_it(height, width, degradation):
    images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))
    degraded = degrade(images, seed=1, degradation=degradation)
    assert degraded.shape == images.shape
    assert degraded.isfinite().all()


def test_a_plain_image_keeps_its_colour_up_to_its_edges():
    colour = torch.tensor([0.8, 0.5, 0.3]).view(1, 3, 1, 1)
    images = colour.expand(8, 3, 40, 56)
    silent = replace(SECOND_ORDER, noise_sigma=(0, 0), second=replace(AGAIN, noise_sigma=(0, 0)))
    assert (degrade(images, seed=0, degradation=silent) - colour).abs().max() < 3 / 255


def test_half_precision_images_stay_so():
    images = shapes(2)
    half = degrade(images.half(), seed=0)
    assert half.dtype == torch.float16
    assert losses.psnr(half.float(), degrade(images, seed=0)).min() > 40


def test_an_empty_batch_is_ordinary_and_a_wrong_one_refused():
    assert degrade(torch.zeros(0, 3, 8, 8), seed=0).shape == (0, 3, 8, 8)
    with pytest.raises(MismatchError, match=r"\[B, 3, H, W\]"):
        degrade(torch.zeros(3, 8, 8), seed=0)
    with pytest.raises(MismatchError, match="floating point"):
        degrade(torch.zeros(1, 3, 8, 8).byte(), seed=0)


def test_a_degradation_without_strength_changes_next_to_nothing():
    images = shapes(2).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    nothing = Degradation((0.05, 0.06), 0.0, (1, 1), (0, 0), 0.0, (100, 100))
    assert losses.psnr(degrade(images, seed=0, degradation=nothing), images).min() > 40


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
def test_each_part_of_a_degradation_has_its_effect(harder):
    images = shapes(4)
    better = losses.psnr(degrade(images, seed=0, degradation=MILD), images)
    worse = losses.psnr(degrade(images, seed=0, degradation=replace(MILD, **harder)), images)
    assert (worse < better - 1).all()


def test_ringing_overshoots_beside_edges():
    images = torch.full((4, 3, 64, 64), 0.3)
    images[..., 32:] = 0.7
    quiet = replace(MILD, noise_sigma=(0, 0), jpeg_quality=(100, 100))
    assert degrade(images, seed=0, degradation=quiet).max() < 0.71
    assert degrade(images, seed=0, degradation=replace(quiet, ringing=1.0)).max() > 0.73


def test_blur_is_as_wide_a_share_of_a_face_at_any_size():
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
    images = shapes(400, 32, 32)
    spared = replace(PAPER, clean=0.25, mild=0.5, scale=(4.0, 8.0))
    degraded = degrade(images, seed=0, degradation=spared)
    same = (degraded == images).all(dim=(1, 2, 3)).float().mean().item()
    near = (losses.psnr(degraded, images) > 21).float().mean().item()
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


def test_draws_fill_their_ranges_evenly():
    uniform = torch.rand(4000, PER_ROUND, generator=generator(0)).double()
    draws = draw_round(uniform, replace(SECOND_ORDER, ringing=0.25))
    for values, ends in (
        (draws.sigmas, (0.2, 3.0)),
        (draws.scales.log2(), (0, 2)),
        (draws.noise, (0, 15)),
        (draws.quality, (40, 95)),
        (draws.filters, (0, 2)),
    ):
        assert values.min() == pytest.approx(ends[0], abs=0.1)
        assert values.max() == pytest.approx(ends[1], abs=0.1)
        assert values.double().mean().item() == pytest.approx(sum(ends) / 2, rel=0.04)
    assert draws.moving.double().mean().item() == pytest.approx(0.2, abs=0.03)
    assert draws.shot.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (~draws.cutoffs.isnan()).double().mean().item() == pytest.approx(0.25, abs=0.03)


def test_less_strength_weakens_what_few_images_get_too():
    images = shapes(200, 32, 32).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    for preset in (MIXED, SECOND_ORDER):
        weak, strong = (
            degrade(images, seed=0, degradation=preset.weakened(strength)) for strength in (0.01, 1)
        )
        assert (weak - images).abs().mean(dim=(1, 2, 3)).max() < 0.02
        assert not (weak == strong).all(dim=(1, 2, 3))[~(strong == images).all(dim=(1, 2, 3))].any()


@pytest.mark.parametrize("preset", ["paper", "second-order"])
def test_less_strength_leaves_more_of_the_image(preset):
    images = shapes(8).mean(1, keepdim=True).expand(-1, 3, -1, -1)
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


@pytest.mark.parametrize(
    "ranges",
    [
        {"scale": (0, 0)}, {"scale": (2, 1)}, {"blur_sigma": (-1, 2)}, {"noise_sigma": (-1, 0)},
        {"jpeg_quality": (0, 90)}, {"jpeg_quality": (50, 500)},
    ],
    ids=str,
)  # fmt: skip
def test_ranges_that_make_no_sense_are_refused(ranges):
    with pytest.raises(ValueError, match=next(iter(ranges))):
        Degradation(**ranges)


def test_images_beyond_their_range_come_back_within_it():
    images = torch.rand(8, 3, 32, 32) * 3 - 1
    found = degrade(images, seed=1, degradation=replace(MIXED, clean=0.5))
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(degrade(images, seed=1), degrade(images.clamp(0, 1), seed=1))


def test_wrong_presets_are_refused():
    with pytest.raises(ValueError, match=r"area, bilinear, bicubic, found .*lanczos"):
        Degradation(filters=("lanczos",))
    with pytest.raises(ValueError, match="twice is"):
        Degradation(twice=0.5)


def test_blur_kernels_have_the_widths_and_directions_they_were_asked_for():
    sigmas = torch.tensor([[2.0, 1.0], [2.0, 1.0], [3.0, 9.0]])
    angles = torch.tensor([0.0, math.pi / 2, 0.0])
    kernels = blurs(sigmas, angles, torch.tensor([False, False, True]), 25)
    assert kernels.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1])
    axis = torch.arange(25.0) - 12
    across = (kernels.sum(dim=1) * axis**2).sum(dim=1).sqrt()  # spread along x
    down = (kernels.sum(dim=2) * axis**2).sum(dim=1).sqrt()
    assert across[:2].tolist() == pytest.approx([2, 1], rel=0.01)
    assert down[:2].tolist() == pytest.approx([1, 2], rel=0.01)
    # A line of 4 σ = 12 px spreads by 12/√12.
    assert across[2].item() == pytest.approx(12 / math.sqrt(12), rel=0.1)
    assert down[2].item() < 0.1


@pytest.mark.parametrize("taps", [5, MOST_TAPS, MOST_TAPS + 2, 41])
def test_small_and_large_kernels_are_applied_alike(taps):
    images = shapes(2, 40, 56)
    kernels = torch.rand(2, taps, taps, generator=torch.Generator().manual_seed(0))
    kernels /= kernels.sum(dim=(1, 2), keepdim=True)
    padded = torch.nn.functional.pad(images, [taps // 2] * 4, mode="replicate")
    expected = torch.stack(
        [
            torch.nn.functional.conv2d(image[:, None], kernel[None, None])[:, 0]
            for image, kernel in zip(padded, kernels, strict=True)
        ]
    )
    assert (convolve(images, kernels) - expected).abs().max() < 1e-5


def test_a_sinc_kernel_passes_what_lies_below_its_cutoff():
    response = torch.fft.fft2(sincs(torch.tensor([math.pi / 2]), 65)[0]).abs()
    assert response[0, 8].item() == pytest.approx(1, abs=0.1)  # 0.25 π
    assert response[0, 26].item() < 0.1  # 0.8 π


@pytest.mark.parametrize("size", [(24, 40), (150, 33)])
@pytest.mark.parametrize("name", FILTERS)
def test_resizing_agrees_with_torch(name, size):
    image = shapes(1, 64, 56).double()
    sides = [torch.tensor([side]) for side in (64, 56)]
    found = resize(
        Canvas(image, *sides),
        *(torch.tensor([side]) for side in size),
        torch.tensor([list(FILTERS).index(name)]),
        step=1,
    ).pixels
    if name == "area":
        # Each new sample is the mean over its span: exact in a table of running sums.
        expected = image
        for axis, side in ((2, size[0]), (3, size[1])):
            count = expected.shape[axis]
            sums = torch.cat(
                [torch.zeros_like(expected.narrow(axis, 0, 1)), expected.cumsum(axis)], dim=axis
            )
            ends = torch.linspace(0, count, side + 1, dtype=torch.float64)
            below = ends.long().clamp(max=count - 1)
            shape = [1, 1, 1, 1]
            shape[axis] = -1
            part = (ends - below).view(shape)
            at_ends = sums.index_select(axis, below).lerp(sums.index_select(axis, below + 1), part)
            expected = at_ends.diff(dim=axis) * side / count
    else:
        expected = torch.nn.functional.interpolate(image, size, mode=name, antialias=True)
    assert (found - expected).abs().max() < 1e-5


def test_images_of_different_sizes_share_a_canvas_and_keep_their_edges():
    images = shapes(2)
    heights, widths = torch.tensor([20, 47]), torch.tensor([33, 8])
    bicubic = torch.tensor([2, 2])
    whole = [torch.tensor([64, 64])] * 2
    canvas = resize(Canvas(images, *whole), heights, widths, bicubic)
    assert canvas.pixels.shape == (2, 3, 48, 48)
    for i, (height, width) in enumerate([(20, 33), (47, 8)]):
        expected = torch.nn.functional.interpolate(
            images[i : i + 1], (height, width), mode="bicubic", antialias=True
        )[0]
        found = canvas.pixels[i]
        assert (found[:, :height, :width] - expected).abs().max() < 1e-5
        assert torch.equal(
            found[:, height:], found[:, height - 1 : height].expand(-1, 48 - height, -1)
        )
        assert torch.equal(
            found[:, :, width:], found[:, :, width - 1 : width].expand(-1, -1, 48 - width)
        )
