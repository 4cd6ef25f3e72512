"""Pasting: exact where nothing changed, no seam, in place to a twentieth of a pixel."""

from __future__ import annotations

import functools
import math
import sys

import pytest
import torch
import torch.nn.functional as F

from gpen_core import Alignment, Crops, ImageError, MismatchError, paste
from gpen_core.align import cut
from gpen_core.pasting import Part, PasteOptions, paste_parts

skimage_data = pytest.importorskip("skimage.data", reason="pip install scikit-image runs this")


def alignment(
    side: float,
    crop_size: int,
    image_size: tuple[int, int, int],
    *,
    centre: tuple[float, float] | None = None,
    degrees: float = 7.0,
    image_index: int = 0,
) -> Alignment:
    """A crop of `crop_size` px that covers a square of `side` px around `centre`."""
    scale, angle = crop_size / side, math.radians(degrees)
    x, y = centre or (image_size[2] / 2 + 0.3, image_size[1] / 2 - 0.2)
    linear = scale * torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    middle = torch.tensor([crop_size / 2] * 2, dtype=torch.float64)
    shift = middle - linear @ torch.tensor([x, y], dtype=torch.float64)
    affine = torch.cat([linear, shift[:, None]], dim=1)[None]
    return Alignment(affine, crop_size, torch.tensor([image_index]), image_size)


def both(one: Alignment, other: Alignment) -> Alignment:
    return Alignment(
        torch.cat([one.affine, other.affine]),
        one.crop_size,
        torch.cat([one.image_index, other.image_index]),
        one.image_size,
    )


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    """[1, 3, 512, 512], a real face."""
    return torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def large(photograph) -> torch.Tensor:
    """[1, 3, 1300, 1300], the face enlarged, with fine detail that a crop of 512 cannot hold."""
    enlarged = F.interpolate(photograph, size=(1300, 1300), mode="bicubic").clamp(0, 1)
    grain = torch.randn(1, 1, 1300, 1300, generator=torch.Generator().manual_seed(5))
    strokes = F.avg_pool2d(grain, (1, 9), stride=1, padding=(0, 4)) * (grain.abs() > 1.8)
    return (enlarged * 0.9 + 0.05 + 0.03 * strokes).clamp(0, 1)


def psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    error = ((one - other).square() * where).sum() / where.expand_as(one).sum()
    return float(-10 * torch.log10(error.clamp(min=1e-14)))


@pytest.mark.parametrize("returned", [256, 512, 700, 1024])
@pytest.mark.parametrize("side", [300.0, 1100.0])
def test_unrestored_crops_with_all_detail_return_the_image(large, side, returned):
    place = alignment(side, 512, (1, 1300, 1300))
    pixels = cut(large, place).pixels
    if returned != 512:
        pixels = F.interpolate(pixels, size=(returned,) * 2, mode="bicubic", antialias=True)
    result = paste(large, Crops(pixels, place), detail=1.0)
    assert result.mask.max() == 1
    assert (result.image - large).abs().max() <= 1e-5


@pytest.mark.parametrize("detail", ["auto", 0.0, 1.0])
@pytest.mark.parametrize("enlarged", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_strength_mixes_what_is_pasted_with_the_image_itself(large, detail, enlarged):
    place = alignment(900.0, 256, (1, 1300, 1300))
    crops = Crops(torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(7)), place)
    background = F.interpolate(large, size=(1500, 1500), mode="bicubic") if enlarged else None
    options = {"detail": detail, "background": background}
    base = large if background is None else background.clamp_(0, 1)
    whole, some, none = (paste(large, crops, strength=s, **options) for s in (1, 0.3, 0))
    assert torch.allclose(some.image, base.lerp(whole.image, 0.3), atol=1e-6)
    assert torch.equal(none.image, base)
    assert torch.equal(some.mask, whole.mask)
    assert torch.equal(none.mask, whole.mask)


@pytest.mark.parametrize("count", [0, 1])
def test_crops_of_another_image_and_tensors_that_are_no_image_are_refused(photograph, count):
    crops = Crops(torch.rand(1, 3, 64, 64), alignment(60.0, 64, (1, 300, 300)))[:count]
    with pytest.raises(MismatchError, match=r"1 image of 300×300, found 1 image of 512×512"):
        paste(photograph, crops)
    with pytest.raises(MismatchError, match=r"\[B, 3, H, W\]"):
        paste(photograph[0], crops)


def test_each_crop_pasted_is_reported_and_the_caller_may_stop(photograph):
    place = both(alignment(60.0, 64, (1, 512, 512)), alignment(90.0, 64, (1, 512, 512)))
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            raise KeyboardInterrupt

    crops = Crops(torch.rand(2, 3, 64, 64), place)
    paste(photograph, crops, on_progress=stop)
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(KeyboardInterrupt):
        paste(photograph, crops, on_progress=stop)


@pytest.mark.parametrize(("side", "crop_size"), [(300.0, 512), (500.0, 512), (256.0, 256)])
def test_a_face_no_larger_than_the_crop_survives_without_detail(photograph, side, crop_size):
    place = alignment(side, crop_size, (1, 512, 512))
    result = paste(photograph, cut(photograph, place), detail=0.0)
    assert psnr(result.image, photograph, result.mask > 0) >= 38


@pytest.mark.slow
def test_a_perfect_crop_in_a_large_noisy_face_keeps_the_noise_out(photograph):
    clean = F.interpolate(photograph, size=(1300, 1300), mode="bicubic").clamp(0, 1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3)) * 25 / 255
    noisy = (clean + noise).clamp(0, 1)
    place = alignment(1100.0, 512, (1, 1300, 1300))
    perfect = cut(clean, place)
    inside = paste(noisy, perfect, detail=0.0).mask == 1

    def against_clean(detail: float | str) -> float:
        return psnr(paste(noisy, perfect, detail=detail).image, clean, inside)

    assert against_clean("auto") >= 32
    assert against_clean(1.0) < 24  # keeps all fine detail, here noise: only the change is pasted
    assert against_clean(0.0) >= 32


def test_a_clean_large_face_keeps_its_fine_detail(large):
    place = alignment(1100.0, 512, (1, 1300, 1300))
    crops = cut(large, place)
    kept, lost = (paste(large, crops, detail=d) for d in ("auto", 0.0))
    inside = kept.mask == 1
    assert psnr(kept.image, large, inside) > psnr(lost.image, large, inside) + 6


@pytest.mark.parametrize("enlarged", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize(
    ("crop_size", "returned"), [(256, 256), (512, 512), (512, 2048), (1024, 512)]
)
def test_a_dot_at_a_landmark_lands_where_the_landmark_is(crop_size, returned, enlarged):
    height, width = 220, 260
    place = alignment(130.0, crop_size, (1, height, width), centre=(128.7, 108.1), degrees=-11)
    landmark = torch.tensor([141.3, 97.6], dtype=torch.float64)
    dot = (place.affine[0, :, :2] @ landmark + place.affine[0, :, 2]) * (returned / crop_size)
    axis = torch.arange(returned) + 0.5
    sigma = 2.0 * returned / 130
    row = torch.exp(-0.5 * ((axis - dot[0]) / sigma) ** 2)
    column = torch.exp(-0.5 * ((axis - dot[1]) / sigma) ** 2)
    pixels = (column[:, None] * row[None]).float().expand(1, 3, -1, -1).contiguous()
    image = torch.zeros(1, 3, height, width)
    background = torch.zeros(1, 3, round(height * enlarged), round(width * enlarged))
    result = paste(image, Crops(pixels, place), detail=0.0, background=background)
    light = result.image[0, 0].double()
    xs = (torch.arange(light.shape[1]) + 0.5) / enlarged
    ys = (torch.arange(light.shape[0]) + 0.5) / enlarged
    found = torch.stack([(light.sum(0) * xs).sum(), (light.sum(1) * ys).sum()]) / light.sum()
    assert (found - landmark).abs().max() < 0.05


def test_a_large_crop_on_a_small_face_does_not_alias():
    noise = torch.rand(1, 3, 2048, 2048, generator=torch.Generator().manual_seed(1))
    place = alignment(256.0, 2048, (1, 400, 400), degrees=0.0, centre=(200.0, 200.0))
    result = paste(torch.zeros(1, 3, 400, 400), Crops(noise, place), detail=0.0)
    averaged = F.avg_pool2d(noise, 8)
    inside = result.mask[0, 0] == 1
    assert result.image[0, 0][inside].std() <= 1.05 * averaged.std()


def test_pixels_outside_the_mask_are_bit_exact_and_the_input_is_left_alone(photograph):
    before = photograph.clone()
    place = alignment(200.0, 256, (1, 512, 512))
    result = paste(photograph, Crops(torch.rand(1, 3, 256, 256), place))
    outside = (result.mask == 0).expand_as(photograph)
    assert outside.any()
    assert (~outside).any()
    assert torch.equal(result.image[outside], photograph[outside])
    assert torch.equal(photograph, before)


def test_no_face_returns_the_input_itself(photograph):
    place = alignment(200.0, 256, (1, 512, 512))[[]]
    result = paste(photograph, Crops(torch.zeros(0, 3, 256, 256), place))
    assert result.image is photograph
    assert result.mask.shape == (1, 1, 512, 512)
    assert not result.mask.any()


@pytest.mark.parametrize("side", [60.0, 400.0])
@pytest.mark.parametrize("feather", [0.05, 0.15, 0.4])
def test_the_mask_ends_without_a_step_and_its_slope_follows_the_face(side, feather):
    place = alignment(side, 256, (1, 512, 512))
    crops = Crops(torch.zeros(1, 3, 256, 256), place)
    mask = paste(torch.ones(1, 3, 512, 512), crops, feather=feather).mask[0, 0]
    steps = torch.cat([mask.diff(dim=0).flatten(), mask.diff(dim=1).flatten()]).abs().max()
    slope = 1.5 / (feather * side)  # steepest of the cubic ramp, per pixel
    assert slope * 0.5 < steps <= slope * 1.01
    edge = cut(mask[None, None].expand(1, 3, -1, -1), place).pixels[0, 0]
    assert max(edge[0].max(), edge[-1].max(), edge[:, 0].max(), edge[:, -1].max()) < 0.05


def test_overlapping_faces_blend_the_same_in_any_order(photograph):
    places = both(
        alignment(200.0, 256, (1, 512, 512), centre=(200.0, 200.0)),
        alignment(220.0, 256, (1, 512, 512), centre=(290.0, 230.0), degrees=-20),
    )
    crops = Crops(torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(2)), places)
    one, other = paste(photograph, crops), paste(photograph, crops[[1, 0]])
    assert (one.image - other.image).abs().max() < 2e-6
    assert (one.mask - other.mask).abs().max() < 1e-6
    alone = [paste(photograph, crops[[i]]).mask for i in (0, 1)]
    assert torch.allclose(one.mask, 1 - (1 - alone[0]) * (1 - alone[1]), atol=1e-6)
    assert ((alone[0] > 0.5) & (alone[1] > 0.5)).any()


def test_overlapping_faces_blend_the_same_when_they_come_one_by_one(photograph):
    batch = photograph.repeat(2, 1, 1, 1)
    places = [
        alignment(side, 256, (2, 512, 512), centre=(x, 200.0), image_index=index)
        for index in (0, 1)
        for side, x in ((200.0, 200.0), (220.0, 290.0))
    ]
    pixels = torch.rand(4, 3, 256, 256, generator=torch.Generator().manual_seed(2))
    parts = [Part(Crops(pixels[n : n + 1], place)) for n, place in enumerate(places)]
    everywhere = both(both(places[0], places[1]), both(*places[2:]))
    whole = paste(batch, Crops(pixels, everywhere))
    one_by_one = paste_parts(batch, everywhere, iter(parts), PasteOptions())
    assert torch.equal(one_by_one.image, whole.image)
    assert torch.equal(one_by_one.mask, whole.mask)


@pytest.mark.parametrize("strengths", [None, [1.0, 0.0, 0.5, 1.0, 0.7]])
def test_pasting_in_place_gives_the_same_pixels(photograph, strengths):
    # The first two overlap, the third touches only the second, the others lie apart.
    centres = [(130.0, 130.0), (170.0, 150.0), (240.0, 170.0), (400.0, 400.0), (60.0, 440.0)]
    places = [alignment(100.0, 128, (1, 512, 512), centre=centre) for centre in centres]
    everywhere = functools.reduce(both, places)
    pixels = torch.rand(5, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    options = PasteOptions(strengths=strengths)
    expected = paste(photograph, Crops(pixels, everywhere), strengths=strengths)
    canvas = photograph.clone()
    given = cut(photograph, everywhere).pixels
    parts = iter(
        Part(Crops(pixels[rows], everywhere[rows]), given[rows])
        for rows in (slice(0, 3), slice(3, 5))
    )
    result = paste_parts(canvas, everywhere, parts, options, in_place=True)
    assert result.image is canvas
    assert torch.equal(canvas, expected.image)
    assert torch.equal(result.mask, expected.mask)


def test_bad_options_are_refused_before_the_first_crop_is_made(photograph):
    def crops():
        raise AssertionError("asked for")
        yield

    place = alignment(100.0, 64, (1, 512, 512))
    with pytest.raises(MismatchError, match="detail"):
        paste_parts(photograph, place, crops(), PasteOptions(detail=2.0))


def test_each_face_goes_into_its_own_image_of_a_batch():
    batch = torch.zeros(3, 3, 200, 200)
    place = alignment(100.0, 64, (3, 200, 200), image_index=2)
    result = paste(batch, Crops(torch.ones(1, 3, 64, 64), place))
    assert [bool(image.any()) for image in result.image] == [False, False, True]
    assert [bool(mask.any()) for mask in result.mask] == [False, False, True]


def test_half_precision_images_come_back_in_half_precision(photograph):
    place = alignment(200.0, 256, (1, 512, 512))
    crops = cut(photograph, place)
    result = paste(photograph.half(), crops, detail=0.0)
    assert result.image.dtype == torch.float16
    exact = paste(photograph, crops, detail=0.0).image
    assert (result.image.float() - exact).abs().max() < 2e-3


@pytest.mark.parametrize("enlarged", [1.0, 2.0, 1.5])
def test_a_limit_keeps_the_crop_out_of_what_it_covers(photograph, enlarged):
    place = alignment(300.0, 256, (1, 512, 512))
    limit = torch.ones(1, 1, 512, 512)
    limit[..., 256:] = 0
    size = (round(512 * enlarged),) * 2
    background = F.interpolate(photograph, size=size, mode="bicubic").clamp(0, 1)
    crops = Crops(torch.zeros(1, 3, 256, 256), place)
    result = paste(photograph, crops, limit=limit, background=background, detail=0.0)
    border = round(256 * enlarged)
    assert torch.equal(result.image[..., border + 4 :], background[..., border + 4 :])
    assert (result.mask[..., : border - 4] == 1).any()


@pytest.mark.parametrize("enlarged", [1, 2])
def test_a_limit_counts_as_white_at_most(photograph, enlarged):
    crops = Crops(torch.zeros(1, 3, 256, 256), alignment(300.0, 256, (1, 512, 512)))
    size = (512 * enlarged,) * 2
    background = F.interpolate(photograph, size=size, mode="bicubic").clamp(0, 1)
    results = [
        paste(photograph, crops, background=background, limit=torch.full((1, 1, 512, 512), value))
        for value in (1.0, 255.0, float("inf"))
    ]
    for result in results[1:]:
        assert torch.equal(result.image, results[0].image)
        assert torch.equal(result.mask, results[0].mask)


def test_crops_that_hold_nan_are_not_pasted(photograph):
    pixels = torch.zeros(2, 3, 256, 256)
    pixels[1, 0, 7, 7] = float("nan")
    place = alignment(300.0, 256, (1, 512, 512))[[0, 0]]
    before = photograph.clone()
    with pytest.raises(ImageError, match="Crop 1 holds NaN"):
        paste(photograph, Crops(pixels, place))
    assert torch.equal(photograph, before)


def test_a_face_that_lies_outside_the_frame_changes_nothing(photograph):
    place = alignment(100.0, 64, (1, 512, 512), centre=(-300.0, 80.0))
    result = paste(photograph, Crops(torch.ones(1, 3, 64, 64), place))
    assert torch.equal(result.image, photograph)
    assert not result.mask.any()


def test_a_face_cut_by_the_border_is_pasted_up_to_it(photograph):
    place = alignment(300.0, 256, (1, 512, 512), centre=(20.0, 256.0))
    result = paste(photograph, cut(photograph, place), detail=0.0)
    assert result.mask[0, 0, 256, 0] == 1
    assert psnr(result.image, photograph, result.mask > 0) >= 36


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detail": 1.5}, r"detail must be 0 … 1 or \"auto\", found 1.5"),
        ({"detail": "some"}, "found 'some'"),
        ({"feather": 0.0}, "feather must be above 0"),
        ({"background": torch.zeros(2, 3, 80, 80)}, "background is a batch of 2, the image of 1"),
        (
            {"background": torch.zeros(1, 3, 80, 120)},
            "background of 120×80 is not the image of 40×40 enlarged",
        ),
        ({"limit": torch.zeros(1, 1, 30, 40)}, "mask of 40×40 .* found 1 of 40×30"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    place = alignment(30.0, 32, (1, 40, 40))
    with pytest.raises(MismatchError, match=message):
        paste(torch.zeros(1, 3, 40, 40), Crops(torch.zeros(1, 3, 32, 32), place), **options)


def test_an_image_other_than_the_one_cut_from_is_refused_with_both_sizes():
    place = alignment(30.0, 32, (1, 40, 40))
    crops = Crops(torch.zeros(1, 3, 32, 32), place)
    with pytest.raises(MismatchError, match=r"1 image of 40×40, found 1 image of 50×40"):
        paste(torch.zeros(1, 3, 40, 50), crops)


@pytest.mark.parametrize("enlarged", [1, 2])
def test_faces_pasted_in_bands_are_the_same(photograph, monkeypatch, enlarged):
    """Large faces, also overlapping ones, are warped some rows at a time to save memory."""
    size = (1, 512, 512)
    one, other = alignment(150, 64, size), alignment(170, 64, size, centre=(300.0, 330.0))
    crops = cut(photograph, both(one, other))
    crops = Crops(crops.pixels.flip(1), crops.alignment)
    background = None
    if enlarged > 1:
        background = F.interpolate(photograph, scale_factor=float(enlarged), mode="bicubic")
    whole = paste(photograph, crops, background=background)
    monkeypatch.setattr(sys.modules["gpen_core.pasting.paste"], "PATCH_PIXELS", 5_000)
    bands = paste(photograph, crops, background=background)
    assert torch.allclose(bands.image, whole.image, atol=2e-5)
    assert torch.allclose(bands.mask, whole.mask, atol=1e-5)
