"""Restored faces take the colours of their crops."""

from __future__ import annotations

import pytest
import torch
from runners import FunctionRunner
from skimage import data

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.colour import match_colour
from gpen_core.errors import MismatchError
from gpen_core.names import COLOURS
from gpen_core.restore import restore_pixels


@pytest.fixture(scope="module")
def crop():
    """[1, 3, 256, 256] of NASA's astronaut, with her face in the middle."""
    pixels = torch.from_numpy(data.astronaut()[:256, 100:356].copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


def chroma(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.amax(dim=1) - pixels.amin(dim=1)


def test_a_tint_is_taken_away_and_detail_is_not(crop):
    inside = crop * 0.8 + 0.1  # away from 0 and 1, where a tint would be clamped
    tint = torch.tensor([10.0, -6.0, 4.0]).view(1, 3, 1, 1) / 255
    assert (match_colour(inside + tint, inside) - inside).abs().max() < 0.05 / 255


def test_new_detail_stays(crop):
    detail = 0.05 * torch.randn(crop.shape, generator=torch.Generator().manual_seed(1))
    inside = crop * 0.6 + 0.2
    change = match_colour(inside + detail, inside) - inside
    assert (change - detail).square().mean() < 0.01 * detail.square().mean()


def test_a_grey_face_stays_grey_exactly(crop):
    grey = crop.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    painted = (crop + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)).clamp(0, 1)
    assert chroma(painted).max() > 0.2
    assert chroma(match_colour(painted, grey)).max() == 0


def test_a_nearly_grey_face_keeps_its_chroma(crop):
    grey = (crop.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) * 255).round() / 255
    nearly = grey.clone()
    nearly[:, 2, ::7, ::5] += 1 / 255
    result = match_colour((crop * 0.9 + 0.05).clamp(0, 1), nearly)
    assert (chroma(result) - chroma(nearly)).abs().max() <= 1 / 255


def test_restore_matches_colours_only_when_told(crop):
    config = GPENConfig(256, 256, (8,) * 7, style_dim=16, mapping_layers=2)
    tint = torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)
    painter = FunctionRunner(GPEN(config), lambda pixels, *, noise_seed: pixels + tint)
    inside = crop * 0.6 + 0.2
    matched, kept, always = (restore_pixels(painter, inside, colour=c) for c in COLOURS)
    assert (kept - inside - tint / 2).abs().max() < 1e-5
    assert torch.equal(kept, always)
    assert (matched - inside).abs().max() < 1e-3


def test_an_unknown_choice_is_refused(crop):
    config = GPENConfig(256, 256, (8,) * 7, style_dim=16, mapping_layers=2)
    with pytest.raises(MismatchError, match="colour must be match, grey or keep, found 'red'"):
        restore_pixels(GPEN(config), crop, colour="red")


@pytest.mark.parametrize("colour", ["match", "grey"])
def test_a_grey_crop_stays_grey_whatever_the_network_paints(crop, colour):
    config = GPENConfig(256, 256, (8,) * 7, style_dim=16, mapping_layers=2)
    tint = torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)
    painter = FunctionRunner(GPEN(config), lambda pixels, *, noise_seed: pixels + tint)
    grey = crop.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    both = restore_pixels(painter, torch.cat([crop, grey]), colour=colour)
    assert chroma(both[1:]).max() == 0
    assert chroma(both[:1]).max() > 0.2
