"""A layer's weights for one face: style, demodulation, scales and √2 multiplied in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch

from . import ops
from .layers import BiasedLeakyReLU, EqualizedConv

if TYPE_CHECKING:
    from torch import nn

    from .layers import StyledConv, ToRGB
    from .workspace import Workspace


class Folded(NamedTuple):
    """What `conv2d` takes, and then `leaky_relu` without a gain if the layer has one."""

    weight: torch.Tensor  # [O, I, k, k]
    bias: torch.Tensor  # [O]


class FoldedStyled(NamedTuple):
    """A `StyledConv`; its noise, times `noise_gain`, goes through the same activation."""

    weight: torch.Tensor  # [O, I, 3, 3]
    bias: torch.Tensor  # [O]
    noise_gain: float
    noise_bias: torch.Tensor | None  # [O], or None where the noise is added instead of appended

    @property
    def channels(self) -> int:
        """Channels computed by the convolution."""
        return len(self.bias)

    @property
    def channels_out(self) -> int:
        """Channels handed on, the appended noise included."""
        return self.channels if self.noise_bias is None else 2 * self.channels


def fold_encoder_stage(stage: nn.Sequential, dtype: torch.dtype) -> Folded:
    """Fold one of the encoder's stages, to compute in `dtype`."""
    conv, activation = cast(EqualizedConv, stage[-2]), cast(BiasedLeakyReLU, stage[-1])
    weight = conv.weight.float() * (conv.scale * ops.SQRT2)
    bias = activation.bias * ops.SQRT2
    return Folded(weight.to(dtype), bias.to(dtype))


def fold_styled(
    layer: StyledConv, latent: torch.Tensor, workspace: Workspace, name: str
) -> FoldedStyled:
    """Fold the latent [1, D]; the result lives in the workspace, under `name`."""
    stored = layer.conv.weight[0]
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    weight = workspace.take_like(name, stored)
    torch.mul(stored, style[:, None, None], out=weight)
    squares = torch.square(weight, out=workspace.take_like("squares", stored))
    demodulation = ops.demodulation(squares.sum(dim=(1, 2, 3)))
    weight *= (demodulation * ops.SQRT2)[:, None, None, None]
    dtype = stored.dtype
    bias = (layer.activate.bias * ops.SQRT2).to(dtype)
    outputs = len(weight)
    return FoldedStyled(
        weight.to(dtype),
        bias[:outputs],
        layer.noise.weight.item() * ops.SQRT2,
        bias[outputs:] if layer.append_noise else None,
    )


def fold_rgb(layer: ToRGB, latent: torch.Tensor) -> Folded:
    """Fold the latent [1, D]; float32 whatever the model's dtype."""
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    return Folded(layer.conv.weight[0].float() * style[:, None, None], layer.bias.flatten())
