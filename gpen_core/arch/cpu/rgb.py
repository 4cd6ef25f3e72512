"""Computes a level's RGB for one face, always in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..layers import FoldedConv
from . import launch, packed

if TYPE_CHECKING:
    from ..layers import ToRGB

AddRGB = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Writes the RGB of x [1, I, H, W] plus `below` [1, 3, H, W] into out [1, 3, H, W]."""

BYTES = 4 << 20
"""Bytes of float32 that torch converts x to at a time."""


def fold_rgb(layer: ToRGB, latent: torch.Tensor) -> FoldedConv:
    """Fold the latent [1, D] into a weight [3, I, 1, 1] and a bias [3]."""
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    weight = layer.conv.weight[0].float() * style[:, None, None]
    return FoldedConv(weight, layer.bias.flatten().float())


def fold_add_rgb(layer: ToRGB, latent: torch.Tensor, size: int, dtype: torch.dtype) -> AddRGB:
    """Fold the latent [1, D] into a function that adds RGB, for `size` pixels a side in `dtype`."""
    weight, bias = fold_rgb(layer, latent)
    if launch.supports(dtype, weight.shape[1]):
        prepared = launch.prepare_rgb_weight(weight.flatten(1))
        return functools.partial(launch.add_rgb, prepared, bias)
    convolve = packed.make_convolution(weight, bias, size)

    def add(x: torch.Tensor, below: torch.Tensor, out: torch.Tensor) -> None:
        rows = max(BYTES // (4 * x.shape[1] * x.shape[3]), 1)
        parts = (tensor.split(rows, dim=2) for tensor in (x, below, out))
        for part, part_below, part_out in zip(*parts, strict=True):
            torch.add(convolve(part.float()), part_below, out=part_out)

    return add
