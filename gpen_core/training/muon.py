"""Muon: an optimizer that updates a convolution equally far in all directions.

So it also learns in directions where gradients are small. Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/; the size of a step follows Liu et al. 2025, "Muon is
scalable for LLM training", arXiv 2502.16982. `torch.optim.Muon`, from PyTorch 2.9 on, does the same
for two-dimensional weights only, one after the other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, cast

import torch

from ..arch.layers import EqualizedConv, EqualizedLinear, ModulatedConv

if TYPE_CHECKING:
    from torch import nn

    from ..arch import GPEN

MOMENTUM = 0.95
STEP_RMS = 0.4
"""Root mean square of a step divided by the learning rate: twice that of AdamW."""

COLOURS = 3
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of X, XXᵀX and (XXᵀ)²X; Jordan et al.
ITERATIONS = 5


def find_hidden_weights(model: GPEN) -> list[nn.Parameter]:
    """Return the weights between features: [O, I, k, k], [1, O, I, k, k], and one [O, I].

    The [O, I] belongs to the linear layer over the coarsest feature, which in effect is a
    convolution. Layers that read or make colours are left out, and so are the mapping and the
    modulations.
    """
    convolutions = [
        module.weight
        for module in model.modules()
        if isinstance(module, (EqualizedConv, ModulatedConv))
        and min(module.weight.shape[-4:-2]) > COLOURS
    ]
    return [*convolutions, cast("EqualizedLinear", model.final_linear[0]).weight]


class Muon(torch.optim.Optimizer):
    """Moves weights along the orthogonal matrices nearest to the running means of their gradients.

    A weight is treated as a matrix of O outputs × all inputs. Weights of the same shape are updated
    as one batch.
    """

    def __init__(self, weights: list[nn.Parameter], *, learning_rate: float) -> None:
        super().__init__(weights, {"lr": learning_rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure
        """Update the weights from their gradients."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for shape, weights in alike.items():
                outputs = shape[0] if len(shape) == 2 else shape[-4]
                steps = [self._update_mean(weight).reshape(outputs, -1) for weight in weights]
                steps = orthogonalize(torch.stack(steps))
                scale = STEP_RMS * math.sqrt(max(steps.shape[1:]))
                for weight, step in zip(weights, steps, strict=True):
                    weight.add_(step.view(shape), alpha=-group["lr"] * scale)

    def _update_mean(self, weight: nn.Parameter) -> torch.Tensor:
        """Update the running mean of the gradient; return Nesterov's mix of both."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        state["mean"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(state["mean"], MOMENTUM)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Bring all singular values of matrices [N, H, W] near 1 (0.7 to 1.2); return float32."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if x.is_cuda:  # the rounding error is smaller than that of the iteration
        x = x.bfloat16()
    for _ in range(ITERATIONS):
        squared = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squared, squared, squared, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()
