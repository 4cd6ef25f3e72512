"""Widens a trained network: more channels, the same function, and room to learn more.

Chen et al. 2016, "Net2Net", arXiv 1511.05641. The new channels have random weights, and no old
channel reads them at first: training decides how to use them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from ..arch import GPEN
from ..arch.layers import StyledConv
from ..errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..arch.layers import BiasedLeakyReLU, EqualizedConv, ToRGB


def widen(model: GPEN, widths: Sequence[int], *, seed: int = 0) -> GPEN:
    """Return a float32 network with more channels that computes the same as `model`.

    Args:
        model: a network on the CPU; it does not change.
        widths: channels at 4, 8 … px. There may be more than the model's from 8 px up; at 4 px the
            number must be the same.
        seed: seed of the new weights.

    Raises:
        MismatchError: the network cannot have these widths, or it adds its noise.
    """
    before, after = model.config.widths, tuple(widths)
    _check(model, after)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = GPEN(replace(model.config, widths=after))
    wide.sharpen = model.sharpen
    fresh = wide.state_dict()
    same = {k: v for k, v in model.state_dict().items() if v.shape == fresh[k].shape}
    wide.load_state_dict(fresh | same)
    with torch.no_grad():
        _copy_encoder(model, wide, [torch.arange(width) for width in before])
        _copy_generator(model, wide, [torch.arange(width) for width in before])
    return wide


def _check(model: GPEN, after: tuple[int, ...]) -> None:
    before = model.config.widths
    if (
        len(before) != len(after)
        or before[0] != after[0]
        or any(new < old for old, new in zip(before, after, strict=True))
    ):
        raise MismatchError(
            f"A network of the widths {before} can get more channels from 8 px up, and must keep "
            f"their number at 4 px; found {after}."
        )
    if model.config.noise != "concat":
        raise MismatchError("Only a network that concatenates its noise can be widened.")


def _copy_encoder(model: GPEN, wide: GPEN, channels: list[torch.Tensor]) -> None:
    """Copy the encoder's weights; `channels` are the old channels of each level."""
    for number in range(model.encoder_levels):
        level = model.encoder_levels - 1 - number
        inputs = channels[level + 1] if number else torch.arange(3)
        old, new = model.encoder_stage(number), wide.encoder_stage(number)
        conv, wide_conv = cast("EqualizedConv", old[-2]), cast("EqualizedConv", new[-2])
        _copy_convolution(conv.weight, wide_conv.weight, channels[level], inputs)
        activation, wider = cast("BiasedLeakyReLU", old[-1]), cast("BiasedLeakyReLU", new[-1])
        wider.bias[channels[level]] = activation.bias


def _copy_generator(model: GPEN, wide: GPEN, channels: list[torch.Tensor]) -> None:
    """Copy the generator's weights; `channels` are the old channels of each level."""
    # The output of a layer: its channels, followed by as many of noise.
    outputs = [
        torch.cat([old, width + old])
        for old, width in zip(channels, wide.config.widths, strict=True)
    ]
    for level in range(1, len(channels)):
        layers = zip(model.generator.level(level), wide.generator.level(level), strict=True)
        read = (outputs[level - 1], outputs[level], outputs[level])
        made = (channels[level], channels[level], torch.arange(3))
        for (old, new), inputs, convolved in zip(layers, read, made, strict=True):
            _copy_modulated(old, new, convolved, inputs)
            if isinstance(old, StyledConv) and isinstance(new, StyledConv):
                new.activate.bias[outputs[level]] = old.activate.bias


def _copy_modulated(
    old: StyledConv | ToRGB, new: StyledConv | ToRGB, outputs: torch.Tensor, inputs: torch.Tensor
) -> None:
    _copy_convolution(old.conv.weight[0], new.conv.weight[0], outputs, inputs)
    new.conv.modulation.weight[inputs] = old.conv.modulation.weight
    new.conv.modulation.bias[inputs] = old.conv.modulation.bias


def _copy_convolution(
    old: torch.Tensor, new: torch.Tensor, outputs: torch.Tensor, inputs: torch.Tensor
) -> None:
    """Let the old outputs read the old inputs, and no new ones."""
    new[outputs] = 0
    # Weights are divided by √fan_in when they are used.
    new[outputs[:, None], inputs] = old * math.sqrt(new.shape[1] / old.shape[1])
