"""FIRs folded into convolutions."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from gpen_core.arch import GPEN
from gpen_core.arch.cuda import folded_fir
from gpen_core.arch.layers import FIR
from gpen_core.training.discriminator import Discriminator


def test_folded_firs_change_nothing(tiny_gpen: GPEN, monkeypatch) -> None:
    model, discriminator = copy.deepcopy(tiny_gpen), Discriminator((8, 8, 6, 4))
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    kernel = torch.rand(4, 4)  # GPEN's kernel is symmetric, which would hide a flip
    for module in (*model.modules(), *discriminator.modules()):
        if isinstance(module, FIR):
            module.kernel = kernel

    def run_all() -> list[torch.Tensor]:
        y = model(x.requires_grad_())  # with gradients, so by modules
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        return [y, gradient, discriminator(x)[0]]

    sides = []
    plain = F.conv2d

    def spy(x: torch.Tensor, weight: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        sides.append(weight.shape[-1])
        return plain(x, weight, *args, **kwargs)

    monkeypatch.setattr(F, "conv2d", spy)
    expected = run_all()
    assert 6 not in sides
    monkeypatch.setattr(folded_fir, "is_faster", lambda _: True)
    for found, wanted in zip(run_all(), expected, strict=True):
        assert (found - wanted).norm() < 1e-5 * wanted.norm()
    assert sides.count(6) == 3 + 3
