"""Warps: straight ramps, low-pass, mirrored borders, batches."""

import math

import pytest
import torch

from gpen_core.warp import (
    Rectangle,
    compose,
    cut_crops,
    cut_rectangle,
    resample,
    resize,
    shrink_factor,
    translation,
)

FIRST = torch.tensor([0])


def crop_to_image(shrink, degrees, centre, size):
    """[2, 3]: the middle of a crop of `size` lies at `centre`, its pixels span `shrink` px."""
    angle = math.radians(degrees)
    linear = shrink * torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    middle = torch.full((2, 1), size / 2, dtype=torch.float64)
    return torch.cat([linear, torch.tensor(centre).double()[:, None] - linear @ middle], dim=1)


def pixel_centres(height, width):
    """[2, height, width] float64 (x, y) of every pixel's centre."""
    ys, xs = torch.meshgrid(
        torch.arange(height).double() + 0.5, torch.arange(width).double() + 0.5, indexing="ij"
    )
    return torch.stack([xs, ys])


def mapped(matrix, points):
    return torch.einsum("ij,jhw->ihw", matrix[:, :2], points) + matrix[:, 2, None, None]


@pytest.mark.parametrize("scale", [0.25, 0.4, 0.7, 0.9, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("degrees", [0, 20, 90, 205])
def test_ramps_in_pixel_units_stay_straight(scale, degrees):
    ramps = pixel_centres(620, 700).float()[None]
    matrix = crop_to_image(1 / scale, degrees, (352.3, 306.9), 64)
    crop = cut_crops(ramps, matrix[None], FIRST, 64)[0]
    expected = mapped(matrix, pixel_centres(64, 64))
    assert (crop - expected).abs().max() < 0.01


def test_plain_bicubic_sampling_would_bend_the_ramp():
    """Without `_straighten`, PyTorch's kernel misses the bound above."""
    ramp = pixel_centres(20, 40).float()[None]
    grid = torch.full((1, 1, 1, 2), 0.0)
    grid[..., 0] = (2 * 20.25 + 1) / 40 - 1  # asks at x = 20.75: a quarter past a centre
    grid[..., 1] = (2 * 10 + 1) / 20 - 1
    plain = torch.nn.functional.grid_sample(ramp, grid, mode="bicubic", align_corners=False)
    assert abs(plain[0, 0].item() - 20.75) > 0.04
    ours = resample(ramp, translation(20.25, 10.0), 1, 1)
    assert abs(ours[0, 0].item() - 20.75) < 1e-4


@pytest.mark.parametrize("shrink", [1.5, 2.0, 3.3, 4.0])
def test_shrunk_white_noise_is_no_rougher_than_an_area_average(shrink):
    noise = torch.randn(1, 3, 460, 460, generator=torch.Generator().manual_seed(0))
    matrix = crop_to_image(shrink, 10, (230.2, 230.4), 64)
    crop = cut_crops(noise, matrix[None], FIRST, 64)
    assert crop.std() <= 1.05 * noise.std() / shrink


@pytest.mark.parametrize("shrink", [1.5, 2.0, 3.3, 4.0])
def test_a_sine_at_a_quarter_of_the_crops_nyquist_survives_shrinking(shrink):
    xs = pixel_centres(460, 460)[0]
    sine = torch.sin(2 * math.pi * xs / (8 * shrink)).float().expand(1, 3, 460, 460)
    matrix = crop_to_image(shrink, 0, (230.2, 230.4), 64)
    crop = cut_crops(sine, matrix[None], FIRST, 64)
    assert 0.9 <= crop.std() / sine.std() <= 1.05


def test_a_sine_beyond_the_crops_nyquist_does_not_alias():
    xs = pixel_centres(460, 460)[0]
    sine = torch.sin(2 * math.pi * xs / 5).float().expand(1, 3, 460, 460)
    crop = cut_crops(sine, crop_to_image(4, 0, (230.2, 230.4), 64)[None], FIRST, 64)
    assert crop.std() < 0.06 * sine.std()


def test_rotation_by_a_quarter_turn_moves_pixels_exactly():
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    crop = cut_crops(image, crop_to_image(1, 90, (20.0, 20.0), 40)[None], FIRST, 40)
    assert torch.allclose(crop, torch.rot90(image, 1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize(
    "rectangle",
    [
        Rectangle(-3, -2, 4, 3),
        Rectangle(3, 2, 9, 8),
        Rectangle(-23, 17, -9, 31),
        Rectangle(-40, -40, 40, 40),
    ],
)
def test_a_rectangle_outside_repeats_the_mirrored_image(rectangle):
    image = torch.arange(35.0).view(1, 1, 5, 7)
    tile = torch.cat([image, image.flip(3)], 3)
    tile = torch.cat([tile, tile.flip(2)], 2)[0, 0]  # one period, [10, 14]
    expected = torch.stack(
        [
            torch.stack([tile[y % 10, x % 14] for x in range(rectangle.left, rectangle.right)])
            for y in range(rectangle.top, rectangle.bottom)
        ]
    )
    assert torch.equal(cut_rectangle(image, rectangle)[0, 0], expected)


def test_a_rectangle_inside_is_a_view():
    image = torch.rand(1, 3, 9, 9)
    assert cut_rectangle(image, Rectangle(1, 2, 5, 6)).data_ptr() == image[..., 2:, 1:].data_ptr()


def test_one_pixel_fills_a_crop():
    crop = cut_crops(torch.full((1, 3, 1, 1), 0.3), translation(-9.0, 4.0)[None], FIRST, 16)
    assert torch.allclose(crop, torch.full((1, 3, 16, 16), 0.3))


def test_crops_stay_within_the_range_of_the_image():
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 16:] = 1.0
    crop = cut_crops(edge, crop_to_image(0.3, 20, (16.0, 16.0), 64)[None], FIRST, 64)
    assert crop.min() == 0.0
    assert crop.max() == 1.0


def test_a_batch_of_crops_equals_a_loop():
    image = torch.rand(2, 3, 90, 120, generator=torch.Generator().manual_seed(2))
    matrices = torch.stack(
        [
            crop_to_image(0.5, 10, (30.0, 40.0), 24),
            crop_to_image(2.2, 70, (90.0, 50.0), 24),
            crop_to_image(1.0, -30, (5.0, 3.0), 24),
        ]
    )
    index = torch.tensor([1, 0, 1])
    together = cut_crops(image, matrices, index, 24)
    for row in range(3):
        alone = cut_crops(image, matrices[row : row + 1], index[row : row + 1], 24)
        assert torch.allclose(together[row], alone[0], atol=1e-5)


def test_crops_of_more_pixels_than_one_warp_takes_are_warped_in_turn(monkeypatch):
    monkeypatch.setattr("gpen_core.warp.PIXELS_PER_WARP", 2 * 24**2)
    image = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(3))
    matrices = torch.stack([crop_to_image(1, 9 * n, (30.0, 30.0), 24) for n in range(5)])
    seen = []
    crops = cut_crops(
        image, matrices, torch.zeros(5, dtype=torch.int64), 24, None, lambda *n: seen.append(n)
    )
    assert seen[-1] == (5, 5)
    assert len(seen) > 1
    last = cut_crops(image, matrices[4:], FIRST, 24)
    assert torch.allclose(crops[4], last[0], atol=1e-5)


def test_no_crop_is_an_empty_batch():
    crops = cut_crops(torch.rand(1, 3, 8, 8), torch.zeros(0, 2, 3).double(), FIRST[:0], 16)
    assert crops.shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64,) * 2],
)
def test_half_precision_is_interpolated_in_float32(dtype, expected):
    image = torch.rand(1, 3, 20, 20).to(dtype)
    matrix = crop_to_image(1.4, 10, (10.0, 10.0), 8)[None]
    crop = cut_crops(image, matrix, FIRST, 8)
    assert crop.dtype == expected
    assert torch.equal(crop, cut_crops(image.to(expected), matrix, FIRST, 8))


def test_resizing_keeps_ramps_and_leaves_equal_sizes_alone():
    ramps = pixel_centres(40, 40).float()[None]
    assert resize(ramps, 40, 40) is ramps
    halved = resize(ramps, 20, 20)[0, 0, 4:-4, 4:-4]
    assert (halved - 2 * pixel_centres(20, 20)[0, 4:-4, 4:-4]).abs().max() < 0.01


def test_composition_applies_the_inner_affine_first():
    outer = crop_to_image(2.0, 30, (5.0, 7.0), 10)
    inner = crop_to_image(0.5, -10, (1.0, 2.0), 10)
    points = pixel_centres(3, 4)
    assert torch.allclose(
        mapped(compose(outer, inner), points), mapped(outer, mapped(inner, points))
    )


def test_shrink_factor_is_the_scale_of_a_rotated_affine():
    assert shrink_factor(crop_to_image(3.7, 33, (0.0, 0.0), 8)) == pytest.approx(3.7)
