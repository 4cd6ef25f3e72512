"""Grain: a pasted face gets the noise that the photograph has around it, and nothing else does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gpen_core import Faces, MismatchError, align, paste
from gpen_core.pasting.grain import draw_grain, measure_level

SIDE = 192
POINTS = torch.tensor([[72.0, 80], [112, 80], [92, 104], [76, 124], [108, 124]])
FACE = Faces(
    torch.tensor([[58.0, 56, 126, 140]]), POINTS[None], torch.ones(1), torch.zeros(1).long(),
    (1, SIDE, SIDE),
)  # fmt: skip


def draw_scene(grey: bool = False) -> torch.Tensor:
    """A scene without noise: soft shading, so that whatever else is there is noise."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 1 if grey else 3, 3, 3, generator=generator) * 0.2 + 0.4
    return F.interpolate(small, (SIDE, SIDE), mode="bicubic").expand(1, 3, -1, -1).clone()


def draw_noise(sigma: float, *, soft: bool = False, grey: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 1 if grey else 3, SIDE, SIDE, generator=generator)
    if soft:
        noise = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return (noise / noise.std() * sigma / 255).expand(1, 3, -1, -1)


def measure(result: torch.Tensor, scene: torch.Tensor, where: torch.Tensor) -> list[float]:
    """The standard deviation of each channel in levels, where [H, W] is true."""
    return [
        255 * float((plane - true)[where].std()) for plane, true in zip(result, scene, strict=True)
    ]


@pytest.mark.parametrize(
    ("sigma", "soft", "grey"),
    [(4, False, False), (12, False, True), (8, True, False), (8, True, True)],
)
def test_at_1_the_noise_inside_is_that_outside(sigma, soft, grey):
    scene = draw_scene()
    noisy = scene + draw_noise(sigma, soft=soft, grey=grey)
    crops = align(scene, FACE, size=128)  # a network that removes all noise
    bare, grained = (paste(noisy, crops, detail=0.0, grain=grain) for grain in (0.0, 1.0))
    mask = bare.mask[0, 0]
    outside = measure(noisy[0], scene[0], mask == 0)
    for name, where in (("inside", mask > 0.99), ("edge", (mask > 0.3) & (mask < 0.7))):
        before, after = (measure(r.image[0], scene[0], where) for r in (bare, grained))
        for found, was, wanted in zip(after, before, outside, strict=True):
            assert was < 0.75 * wanted, name
            assert found == pytest.approx(wanted, rel=0.1), name


def test_half_of_it_is_half_as_strong():
    scene = draw_scene()
    noisy = scene + draw_noise(8)
    crops = align(scene, FACE, size=128)
    results = [paste(noisy, crops, detail=0.0, grain=grain) for grain in (0.5, 1.0)]
    where = results[0].mask[0, 0] > 0.99
    half, whole = (measure(r.image[0], scene[0], where)[1] for r in results)
    assert half == pytest.approx(whole / 2, rel=0.05)


def test_grain_has_the_spectrum_and_the_colours_of_the_noise():
    scene = draw_scene()
    noisy = scene + draw_noise(8, soft=True, grey=True)
    result = paste(noisy, align(scene, FACE, size=128), detail=0.0, grain=1.0)
    inner = result.mask[0, 0, 60:140, 60:140] > 0.99
    assert inner.float().mean() > 0.9
    grain = (result.image - scene)[0, :, 60:140, 60:140]
    red, green = grain[0].flatten(), grain[1].flatten()
    assert torch.corrcoef(torch.stack([red, green]))[0, 1] > 0.95  # grey noise
    beside = torch.corrcoef(torch.stack([grain[0, :, 1:].flatten(), grain[0, :, :-1].flatten()]))
    assert beside[0, 1] == pytest.approx(2 / 3, abs=0.1)  # a box of 3 px


def test_a_grey_photograph_stays_grey():
    scene = draw_scene(grey=True)
    noisy = scene + draw_noise(8, grey=True)
    result = paste(noisy, align(scene, FACE, size=128), grain=1.0)
    assert (result.image[:, 0] - result.image[:, 1]).abs().max() < 1e-6


def test_pixels_outside_the_mask_and_faces_of_strength_0_stay():
    scene = draw_scene()
    noisy = scene + draw_noise(8)
    crops = align(scene, FACE, size=128)
    result = paste(noisy, crops, grain=1.0)
    outside = (result.mask == 0).expand_as(noisy)
    assert torch.equal(result.image[outside], noisy[outside])
    assert torch.equal(paste(noisy, crops, grain=1.0, strength=0.0).image, noisy)


def test_a_face_that_kept_its_noise_gets_no_more():
    noisy = draw_scene() + draw_noise(8)
    crops = align(noisy, FACE, size=256)  # a network that changes nothing
    bare, grained = (paste(noisy, crops, detail=1.0, grain=grain).image[0] for grain in (0.0, 1.0))
    everywhere = torch.ones(SIDE, SIDE, dtype=torch.bool)
    assert measure(bare, noisy[0], everywhere)[0] < 0.5
    before, after = (measure(image, draw_scene()[0], everywhere)[1] for image in (bare, grained))
    assert after == pytest.approx(before, rel=0.05)


def test_a_clean_photograph_gets_none():
    scene = draw_scene()
    crops = align(scene, FACE, size=128)
    bare, grained = (paste(scene, crops, grain=grain).image for grain in (0.0, 1.0))
    assert (bare - grained).abs().max() < 0.3 / 255


def test_texture_around_the_face_is_no_grain():
    scene = draw_scene()
    scene[..., : SIDE // 2, :] += draw_noise(25, soft=True)[..., : SIDE // 2, :]  # leaves, say
    noisy = scene + draw_noise(3)
    level = measure_level(noisy[0], torch.ones(1, SIDE, SIDE, dtype=torch.bool))
    assert level is not None
    assert level.mul(255).tolist() == pytest.approx([3, 3, 3], rel=0.2)


def test_a_face_that_fills_the_photograph_gets_none():
    portrait = (draw_scene() + draw_noise(8))[..., 60:140, 52:132]
    points = POINTS[None] - torch.tensor([52.0, 60])
    index = torch.zeros(1, dtype=torch.int64)
    face = Faces(torch.tensor([[0.0, 0, 80, 80]]), points, torch.ones(1), index, (1, 80, 80))
    crops = align(portrait, face, size=128)
    bare, grained = (paste(portrait, crops, grain=grain).image for grain in (0.0, 1.0))
    assert torch.equal(bare, grained)


def test_each_photograph_has_its_own_grain_and_the_same_each_time():
    scene = draw_scene()
    noisy = scene + draw_noise(8)
    crops = align(scene, FACE, size=128)
    once, again = (paste(noisy, crops, grain=1.0).image for _ in range(2))
    assert torch.equal(once, again)
    kernel = torch.zeros(3, 3, 32, 32)
    kernel[:, 0, 0, 0] = 1
    fields = [draw_grain(kernel, 64, 64, torch.full((3,), level)) for level in (0.02, 0.0201)]
    assert torch.corrcoef(torch.stack([f[0].flatten() for f in fields]))[0, 1].abs() < 0.1


@pytest.mark.parametrize("grain", [-0.1, 1.5, float("nan")])
def test_another_amount_is_refused(grain):
    with pytest.raises(MismatchError, match="grain must lie in 0 … 1"):
        paste(draw_scene(), align(draw_scene(), FACE, size=64), grain=grain)
