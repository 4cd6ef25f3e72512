"""Measures of a face: each one measures what its name says, and only that."""

from __future__ import annotations

import math

import pytest
import torch
from training_faces import crop_astronaut

from gpen_core.evaluation import measures
from gpen_core.evaluation.measures import name_skin_lightness, psnr
from gpen_core.evaluation.scores import DEFAULT_ROUNDS, evaluate

rgb2lab = pytest.importorskip("skimage.color", reason="install the extra `demo`").rgb2lab


def test_the_oval_leaves_hair_and_background_out():
    clean = crop_astronaut(256)
    target, degraded = DEFAULT_ROUNDS.make_pair(clean, 0, 0)
    oval = measures.make_face_oval(256)
    assert 0.2 < oval.double().mean() < 0.3
    assert torch.equal(oval, oval.flip(1))
    assert oval[120, 96]  # an eye of the template
    assert oval[186, 128]  # the mouth
    assert not oval[40, 128]
    assert not oval[150, 40]
    face_mended = torch.where(oval, target, degraded)
    assert psnr(face_mended, target, oval).item() > 100
    assert torch.equal(psnr(face_mended, target, ~oval), psnr(degraded, target, ~oval))
    scores = evaluate(lambda x: torch.where(oval, 0.5, x), clean[:1])
    assert scores.output_face_psnr < scores.output_psnr
    assert scores.input_face_psnr != scores.input_psnr


def test_sharpness_falls_with_blur_and_contrast_but_not_with_brightness():
    sharp = crop_astronaut() / 255
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2)
    assert (measures.sharpness(blurred) < 0.8 * measures.sharpness(sharp)).all()
    assert torch.allclose(measures.sharpness(sharp * 0.5 + 0.3), measures.sharpness(sharp) / 2)
    ramp = torch.linspace(0, 1, 65).expand(1, 3, 65, 65)
    assert measures.sharpness(ramp).item() == pytest.approx(1 / 64)


def test_noise_in_flat_skin_is_the_sigma_that_was_added():
    ramp = torch.linspace(0.3, 0.6, 128).expand(1, 3, 128, 128)
    flat = measures.find_flat_skin(ramp)
    assert measures.noise(ramp, flat).item() == pytest.approx(0, abs=1e-3)
    grain = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    assert measures.noise(ramp + 4 / 255 * grain, flat).item() == pytest.approx(4, rel=0.1)


def test_flat_skin_is_the_smooth_part_inside_the_face():
    clean = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    clean[:, :, 48:80, 48:80] = 0.5
    clean[:, :, :16] = 0.5  # a smooth background does not count
    flat = measures.find_flat_skin(clean)[0].nonzero()
    assert len(flat) >= 20
    assert flat.min() >= 11
    assert flat.max() <= 20


@pytest.mark.parametrize(
    ("colour", "group"),
    [
        ((236, 200, 180), "ITA > 55°"),
        ((198, 150, 120), "ITA 28° to 55°"),
        ((110, 70, 45), "ITA ≤ 28°"),
    ],
)
def test_skin_lightness_is_the_typology_angle_of_the_cheeks(colour, group):
    face = torch.zeros(1, 3, 100, 100)
    face[:, :, 50:70, 30:70] = torch.tensor(colour).view(1, 3, 1, 1) / 255
    lightness, _, b = rgb2lab(torch.tensor(colour).view(1, 1, 3).numpy() / 255)[0, 0]
    found = measures.skin_lightness(face).item()
    assert found == pytest.approx(math.degrees(math.atan2(lightness - 50, b)), abs=0.5)
    assert name_skin_lightness(found) == group


def test_a_grey_photograph_has_no_skin_lightness():
    found = measures.skin_lightness(torch.full((1, 3, 100, 100), 0.6)).item()
    assert math.isnan(found)
    assert name_skin_lightness(found) == "no colour"
