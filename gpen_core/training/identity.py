"""How a GPEN starts to learn: as the identity, so that it only has to learn what to change."""

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
"""√2·lrelu(√2·lrelu(x)) minus the same of −x, divided by x: 2 + 2·0.2²."""


@torch.no_grad()
def start_as_identity(model: GPEN) -> None:
    """Set weights of a fresh `model` so that it returns its input.

    The finest encoder feature carries R, G, B and their negatives, which pass the leaky
    activations without loss as a pair; the last to_rgb takes their difference, all others start at
    zero. Everything remains trainable.

    Raises:
        MismatchError: the model adds noise, has fewer than 6 channels at its finest level, or puts
            out another size than it takes in.
    """
    config = model.config
    width = config.widths[-1]
    if config.noise != "concat" or config.in_size != config.out_size or width < 6:
        raise MismatchError(
            'Starting as the identity needs noise="concat", in_size = out_size and at least 6 '
            f"channels at the finest level; found {config}."
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
    carried = torch.eye(3)[:, :, None, None] / (LRELU_PAIR_GAIN * last.scale)
    last.weight[0, :, width : width + 3] = carried
    last.weight[0, :, width + 3 : width + 6] = -carried
