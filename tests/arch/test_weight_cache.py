"""Layouts of weights are reused until the weights change."""

from __future__ import annotations

import copy
import pickle

import torch
from networks import by_modules, by_strips, random_crops, random_network, relative_error

from gpen_core.arch.weight_cache import WeightCache


def test_entries_last_until_weights_change_and_are_not_copied() -> None:
    cache, weight, other = WeightCache(), torch.ones(3), torch.ones(3)
    first = cache.get("sum", cache, (weight,), lambda: [1])
    assert cache.get("sum", cache, (weight,), lambda: [2]) is first
    for twin in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert twin.get("sum", cache, (weight,), lambda: [3]) == [3]
    assert cache.get("sum", cache, (weight.clone(),), lambda: [4]) == [4]
    assert cache.get("both", cache, (weight, other), lambda: [7]) == [7]
    other.add_(1)
    assert cache.get("both", cache, (weight, other), lambda: [8]) == [8]
    assert cache.get("sum", cache, (weight,), lambda: [5]) == [5]
    cache.clear()
    assert cache.get("sum", cache, (weight,), lambda: [6]) == [6]
    with torch.inference_mode():
        hosted = torch.ones(3)  # like weights that ComfyUI loads
    first = cache.get("sum", cache, (hosted,), lambda: [9])
    assert cache.get("sum", cache, (hosted,), lambda: [10]) is first


def test_changed_weights_take_effect_at_once() -> None:
    model, other, x = random_network(), random_network(), random_crops(1)
    before = by_strips(model, x)
    model.load_state_dict(other.state_dict())
    assert torch.equal(by_strips(model, x), by_strips(other, x))
    for parameter in other.parameters():
        parameter.data = parameter.data.clone().mul_(1.1)  # like a host that moves weights
    assert not torch.allclose(by_strips(other, x), by_strips(model, x), atol=1e-3)
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)  # like an optimiser
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    for parameter in other.parameters():
        parameter.data.mul_(0.9)
    other.set_dtype(torch.float32)
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    assert relative_error(by_strips(model, x), before) > 1e-3


def test_a_change_of_any_single_weight_takes_effect() -> None:
    model, x = random_network(), random_crops(1)
    layers = ("ecd1", "generator.convs.0", "generator.convs.1", "generator.to_rgbs.0")
    for name, parameter in model.named_parameters():
        if not name.startswith(layers):
            continue
        before = by_strips(model, x)
        with torch.no_grad():
            parameter.add_(0.5 * torch.randn_like(parameter))
        assert not torch.equal(by_strips(model, x), before), name
        assert relative_error(by_strips(model, x), by_modules(model, x)) < 2e-6, name
