"""Muon: a convolution learns in all directions alike, also in those of small gradients.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the size of a step after Liu et al.
2025, "Muon is scalable for LLM training", arXiv 2502.16982. `torch.optim.Muon`, from PyTorch 2.9
on, does the same for weights of two dimensions, one after the other.
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
"""Root mean square of a step, in learning rates; twice what makes it as large as AdamW's."""

COLOURS = 3
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of X, XXᵀX and (XXᵀ)²X; Jordan et al.
ITERATIONS = 5


def hidden_weights(model: GPEN) -> list[nn.Parameter]:
    """Weights that make features of features: [O, I, k, k], [1, O, I, k, k], and one [O, I].

    The last is of the linear layer over the coarsest feature, a convolution in all but name. What
    reads or makes colours is not among them, nor are the mapping and modulations.
    """
    convolutions = [
        module.weight
        for module in model.modules()
        if isinstance(module, (EqualizedConv, ModulatedConv))
        and min(module.weight.shape[-4:-2]) > COLOURS
    ]
    return [*convolutions, cast("EqualizedLinear", model.final_linear[0]).weight]


class Muon(torch.optim.Optimizer):
    """Moves weights along the orthogonal matrices nearest to their gradients' running means.

    A weight is the matrix of its O outputs by all that they read. Those of one shape are computed
    together.
    """

    def __init__(self, weights: list[nn.Parameter], *, learning_rate: float) -> None:
        super().__init__(weights, {"lr": learning_rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure
        """Move the weights by the gradients that are in them."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for shape, weights in alike.items():
                outputs = shape[0] if len(shape) == 2 else shape[-4]
                steps = [self._direction(weight).reshape(outputs, -1) for weight in weights]
                steps = orthogonal(torch.stack(steps))
                scale = STEP_RMS * math.sqrt(max(steps.shape[1:]))
                for weight, step in zip(weights, steps, strict=True):
                    weight.add_(step.view(shape), alpha=-group["lr"] * scale)

    def _direction(self, weight: nn.Parameter) -> torch.Tensor:
        """The gradient and its running mean, which it updates, as Nesterov weighs them."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        state["mean"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(state["mean"], MOMENTUM)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices [N, H, W] with all their singular values brought near 1, 0.7 to 1.2, in float32."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if x.is_cuda:  # rounding does less than the iteration leaves open
        x = x.bfloat16()
    for _ in range(ITERATIONS):
        squared = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squared, squared, squared, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()
