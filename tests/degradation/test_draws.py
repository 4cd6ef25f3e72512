"""Draws spread evenly over their ranges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gpen_core.degradation.draws import NUMBERS_PER_PASS, draw_pass, seed_generator
from gpen_core.degradation.presets import SECOND_ORDER


def test_draws_fill_their_ranges_evenly():
    uniform = torch.rand(4000, NUMBERS_PER_PASS, generator=seed_generator(0)).double()
    draws = draw_pass(uniform, replace(SECOND_ORDER, ringing=0.25))
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
