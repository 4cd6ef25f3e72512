"""Noise, cut-off and made-up detail of pictures whose truth is known."""

from __future__ import annotations

import pytest
import torch
from report_pictures import add_noise, draw, shrink

from gpen_core.spectra import choose_block, compare, low_pass, measure_spectrum


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_is_measured_between_the_edges(sigma):
    found = measure_spectrum(add_noise(draw(), sigma), 32).noise_level
    assert found == pytest.approx(sigma, rel=0.15)


def test_a_clean_picture_has_no_noise_and_no_cut_off():
    found = measure_spectrum(draw(), 32)
    assert found.noise_level < 0.5
    assert found.finest == 2.0


def test_the_finest_detail_grows_with_damage():
    sharp, half, quarter, eighth = (
        measure_spectrum(picture, 32).finest
        for picture in (draw(), *(shrink(draw(), factor) for factor in (2, 4, 8)))
    )
    assert sharp < half < quarter < eighth
    assert 4 <= quarter <= 8
    noisy = [measure_spectrum(add_noise(draw(), sigma), 32).finest for sigma in (1, 20, 40)]
    assert noisy == sorted(noisy)
    assert noisy[2] > 3


def test_nothing_is_made_up_where_nothing_was_added():
    picture = add_noise(shrink(draw(), 2), 6)
    same = compare(picture, picture, 32)
    assert (same.made_up, same.changed) == (0.0, 0.0)
    calmer = compare(picture, shrink(draw(), 2), 32)  # the noise went
    assert calmer.made_up < 0.1  # edges that drown in the noise, and are there again
    assert calmer.changed < 1
    blurred = compare(draw(), shrink(draw(), 2), 32)
    assert blurred.made_up == 0
    assert blurred.changed > 5


def test_detail_beyond_the_cut_off_is_made_up_even_if_it_is_true():
    shares = [compare(shrink(draw(), factor), draw(), 32).made_up for factor in (2, 4, 8)]
    assert shares == sorted(shares)
    assert shares[0] > 0.1
    assert shares[2] > 0.6


def test_texture_that_a_network_paints_everywhere_is_made_up():
    # It looks like noise, but the photograph has none.
    texture = compare(shrink(draw(), 4), add_noise(shrink(draw(), 4), 6), 32)
    assert texture.made_up > 0.3
    # Noise as strong as the photograph's is not.
    grain = compare(add_noise(shrink(draw(), 4), 6, 1), add_noise(shrink(draw(), 4), 6, 2), 32)
    assert grain.made_up < 0.05


def test_a_face_has_blocks_as_large_as_it_allows():
    sides = [choose_block(side, 1000) for side in (23, 24, 47, 48, 95, 96)]
    assert sides == [None, 8, 8, 16, 16, 32]


def test_a_low_pass_keeps_waves_by_their_length_in_any_shape():
    x = torch.arange(120) + 0.5
    for length, kept in ((40, 1.0), (5, 0.0)):
        wave = torch.cos(2 * torch.pi * x / length).expand(60, 120)
        found = low_pass(wave, (60 / 12, 120 / 12))
        assert (found - kept * wave).abs().mean() < 0.1, length
