"""Scale and shift the channels of a value by constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from .axes import Unfit
from .values import Map

SPARE = 1 << 20
"""Elements that constants may take, whatever the size of the file."""


def check_growth(*shapes: Sequence[int]) -> None:
    """Raise Unfit if a product of tensors of these shapes has many more elements than they have."""
    wide = math.prod(np.broadcast_shapes(*map(tuple, shapes)))
    if wide > SPARE and wide > 4 * max(math.prod(shape) for shape in shapes):
        raise Unfit("constants whose product is not much larger than they are")


def one_number(tensor: torch.Tensor) -> float:
    """Return a constant that is one number."""
    if tensor.numel() != 1:
        raise Unfit(f"one number, not a tensor of the shape {list(tensor.shape)}")
    return float(tensor.reshape(()))


def per_channel(x: Map, tensor: torch.Tensor) -> torch.Tensor:
    """Return a constant as [] or [C], one number for each channel of x."""
    tensor = tensor.double()
    if tensor.numel() == 1:
        return tensor.reshape(())
    tensor = tensor.reshape((1,) * (len(x.shape) - tensor.ndim) + tuple(tensor.shape))
    axis = x.channel_axis
    if tensor.numel() != x.channels or tensor.shape[axis] != x.channels:
        raise Unfit(
            f"one number for each of {x.channels} channels, not a tensor of the shape "
            f"{list(tensor.shape)}"
        )
    return tensor.reshape(-1)


def _for_parts(x: Map, values: torch.Tensor) -> list[torch.Tensor]:
    if values.ndim == 0:
        return [values] * len(x.content)
    return list(values.split([part.channels for part in x.content]))


def scale(x: Map, gain: torch.Tensor) -> Map:
    """Multiply x by a gain [] or [C]."""
    gains = _for_parts(x, gain)
    parts = tuple(part.scale(g) for part, g in zip(x.content, gains, strict=True))
    return replace(x, content=parts)


def shift(x: Map, bias: torch.Tensor) -> Map:
    """Add a bias [] or [C] to x."""
    pairs = zip(x.content, _for_parts(x, bias), strict=True)
    return replace(x, content=tuple(replace(part, bias=part.bias + b) for part, b in pairs))
