"""Initialises a GPEN as the identity: training then only has to learn the changes to a face."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from ..arch.layers import NoiseGain, ToRGB
from ..errors import MismatchError

if TYPE_CHECKING:
    from torch import nn

    from ..arch import GPEN
    from ..arch.layers import EqualizedConv

LRELU_PAIR_GAIN = 2.08
"""(f(x) − f(−x)) / x = 2 + 2·0.2², where f(x) = √2·lrelu(√2·lrelu(x))."""


@torch.no_grad()
def start_as_identity(model: GPEN) -> None:
    """Set the weights of a fresh `model` so that it returns its input.

    The finest encoder feature carries R, G, B and their negatives. As such pairs they pass the
    leaky activations without loss. The last to_rgb takes the difference of each pair; the other
    to_rgbs start at zero. All weights stay trainable.

    Raises:
        MismatchError: the model adds its noise, has fewer than 6 channels at its finest level, or
            its output has another size than its input.
    """
    config = model.config
    width = config.widths[-1]
    if config.noise != "concat" or config.in_size != config.out_size or width < 6:
        raise MismatchError(
            'To start as the identity, a network needs noise="concat", in_size = out_size and at '
            f"least 6 channels at the finest level; found {config}."
        )
    entry = cast("EqualizedConv", cast("nn.Sequential", model.ecd0[0])[0])
    colours = torch.eye(3)[:, :, None, None] / entry.scale
    entry.weight[:3], entry.weight[3:6] = colours, -colours
    for module in model.modules():
        if isinstance(module, NoiseGain):
            module.weight.fill_(1)
        elif isinstance(module, ToRGB):
            module.conv.weight.zero_()
    last = cast("ToRGB", model.generator.to_rgbs[-1]).conv
    last.modulation.weight.zero_()
    pass_on = torch.eye(3)[:, :, None, None] / (LRELU_PAIR_GAIN * last.scale)
    last.weight[0, :, width : width + 3] = pass_on
    last.weight[0, :, width + 3 : width + 6] = -pass_on
