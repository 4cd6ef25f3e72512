"""A widened network computes the same, and learns with its new channels."""

from __future__ import annotations

import pytest
import torch

from gpen_core.arch import GPEN
from gpen_core.errors import MismatchError
from gpen_core.training.widen import widen


def test_a_widened_network_computes_the_same(tiny_gpen: GPEN) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_gpen.state_dict().items()}
    wide = widen(tiny_gpen, (8, 12, 6, 9))
    assert wide.config.widths == (8, 12, 6, 9)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(wide(x), tiny_gpen(x), atol=1e-5)
    assert all(torch.equal(before[name], now) for name, now in tiny_gpen.state_dict().items())


def test_weights_that_read_new_channels_get_gradients(tiny_gpen: GPEN) -> None:
    wide = widen(tiny_gpen, (8, 12, 9, 9))
    wide.train().requires_grad_(True)
    wide(torch.rand(2, 3, 32, 32) * 2 - 1).square().mean().backward()
    new_inputs_of_old_outputs = wide.generator.level(2)[1].conv.weight.grad[0, :6, 6:9]
    assert new_inputs_of_old_outputs.abs().sum(dim=(0, 2, 3)).min() > 0


def test_new_weights_depend_on_the_seed_alone(tiny_gpen: GPEN) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (widen(tiny_gpen, (8, 12, 6, 4), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [model.generator.level(1)[0].conv.weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("widths", [(8, 8, 6), (8, 8, 5, 4), (9, 9, 9, 9)])
def test_widths_without_more_channels_are_refused(tiny_gpen: GPEN, widths: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"more channels from 8 px up"):
        widen(tiny_gpen, widths)
