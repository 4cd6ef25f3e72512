"""Muon: orthogonal steps, equal to those of PyTorch, for the weights between features."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from training_faces import CONFIG

from gpen_core import GPEN
from gpen_core.training.muon import STEP_RMS, Muon, find_hidden_weights, orthogonalize


@pytest.mark.parametrize("shape", [(2, 24, 60), (1, 60, 24), (3, 16, 16)])
def test_orthogonalizing_evens_out_all_directions(shape):
    values = torch.linspace(0.05, 1, min(shape[1:])).diag_embed()
    left, right = (
        torch.linalg.qr(torch.randn(shape[0], side, min(shape[1:])))[0] for side in shape[1:]
    )
    matrices = left @ values @ right.mT
    found = torch.linalg.svdvals(orthogonalize(matrices))
    assert 0.6 < found.min() < found.max() < 1.3
    kept = left.mT @ orthogonalize(matrices) @ right  # the directions stay, and none is reversed
    assert (kept - kept.diagonal(dim1=1, dim2=2).diag_embed()).abs().max() < 1e-4
    assert kept.diagonal(dim1=1, dim2=2).min() > 0.6


@pytest.mark.parametrize("shape", [(12, 8, 3, 3), (40, 4, 3, 3), (1, 8, 12, 3, 3), (16, 40)])
def test_steps_are_those_of_pytorch(shape):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon to compare with")
    torch.manual_seed(1)
    weights = [nn.Parameter(torch.randn(shape)) for _ in range(2)]
    rows = shape[0] if len(shape) == 2 else shape[-4]
    flat = [nn.Parameter(weight.detach().reshape(rows, -1).clone()) for weight in weights]
    begun = [weight.detach().clone() for weight in weights]
    ours = Muon(weights, learning_rate=0.01)
    theirs = torch.optim.Muon(
        flat, lr=0.01 * STEP_RMS / 0.2, weight_decay=0, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(4):
        for weight, other in zip(weights, flat, strict=True):
            weight.grad = torch.randn(shape)
            other.grad = weight.grad.reshape(rows, -1)
        ours.step()
        theirs.step()
    for weight, other, before in zip(weights, flat, begun, strict=True):
        moved = weight.detach() - before
        apart = other.detach().view(shape) - weight.detach()
        assert apart.norm() < 0.02 * moved.norm()  # theirs computes in bfloat16


def test_hidden_weights_are_the_convolutions_between_features():
    model = GPEN(CONFIG)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(weight)] for weight in find_hidden_weights(model)}
    levels = range(1, len(CONFIG.widths))
    assert found == {
        "final_linear.0.weight",
        "generator.conv1.conv.weight",
        *(f"generator.convs.{i}.conv.weight" for i in range(2 * len(levels))),
        *(f"ecd{i}.0.1.weight" for i in levels),
    }
