"""The network in plain modules."""

from __future__ import annotations

import pytest
import torch
from networks import by_modules, random_crops, random_network, relative_error

from gpen_core.arch.network import Network
from gpen_core.arch.reference import ReferenceGPEN


@pytest.mark.parametrize("noise", ["concat", "add"])
def test_a_network_without_engines_computes_the_same_as_a_gpen(noise: str) -> None:
    model, x = random_network(32, 64, noise=noise), random_crops(2, 32)
    network = Network(model.config).eval().requires_grad_(False)
    network.load_state_dict(model.state_dict())
    found = network.compute(x, network.fresh_noise(3))
    assert torch.equal(found, by_modules(model, x, noise_seed=3))


def test_the_reference_takes_a_network_without_engines() -> None:
    model, x = random_network(), random_crops(1)
    network = Network(model.config).eval().requires_grad_(False)
    network.load_state_dict(model.state_dict())
    assert relative_error(ReferenceGPEN(network)(x), by_modules(model, x)) < 2e-6


def test_gradients_reach_every_weight() -> None:
    for count in (1, 2):
        model = random_network().train().requires_grad_(True)
        model(random_crops(count)).square().mean().backward()
        missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not missing
