"""More channels for a trained network: the same function, with room to learn more.

Chen et al. 2016, "Net2Net", arXiv 1511.05641. New channels begin at random, and nothing that was
there before reads them: training decides what to make of them.
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
    """A float32 network of other widths that computes what `model` does.

    Args:
        model: on the CPU; it is left as it is.
        widths: channels at 4, 8 … px, none fewer than the model's; at 4 px as many.
        seed: of what is new.

    Raises:
        MismatchError: these widths cannot be had, or the model adds its noise.
    """
    before, after = model.config.widths, tuple(widths)
    if (
        len(before) != len(after)
        or before[0] != after[0]
        or any(new < old for old, new in zip(before, after, strict=True))
    ):
        raise MismatchError(
            f"A network of the widths {before} can be given more channels from 8 px up, as many "
            f"as before at 4 px; found {after}."
        )
    if model.config.noise != "concat":
        raise MismatchError("Only a network that appends its noise can be widened.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = GPEN(replace(model.config, widths=after))
    wide.sharpen = model.sharpen
    fresh = wide.state_dict()
    same = {k: v for k, v in model.state_dict().items() if v.shape == fresh[k].shape}
    wide.load_state_dict(fresh | same)

    own = [torch.arange(width) for width in before]
    # What a layer hands on: its own channels, then as many of noise.
    fed = [torch.cat([kept, width + kept]) for kept, width in zip(own, after, strict=True)]
    colours = torch.arange(3)
    with torch.no_grad():
        for number in range(model.encoder_levels):
            level = model.encoder_levels - 1 - number
            inputs = own[level + 1] if number else colours
            old, new = model.encoder_stage(number), wide.encoder_stage(number)
            conv, wide_conv = cast("EqualizedConv", old[-2]), cast("EqualizedConv", new[-2])
            _copy_convolution(conv.weight, wide_conv.weight, own[level], inputs)
            activation, wider = cast("BiasedLeakyReLU", old[-1]), cast("BiasedLeakyReLU", new[-1])
            wider.bias[own[level]] = activation.bias
        for level in range(1, len(before)):
            layers = zip(model.generator.level(level), wide.generator.level(level), strict=True)
            inputs = (fed[level - 1], fed[level], fed[level])
            outputs = (own[level], own[level], colours)
            for (old, new), read, made in zip(layers, inputs, outputs, strict=True):
                _copy_modulated(old, new, made, read)
                if isinstance(old, StyledConv) and isinstance(new, StyledConv):
                    new.activate.bias[fed[level]] = old.activate.bias
    return wide


def _copy_modulated(
    old: StyledConv | ToRGB, new: StyledConv | ToRGB, outputs: torch.Tensor, inputs: torch.Tensor
) -> None:
    _copy_convolution(old.conv.weight[0], new.conv.weight[0], outputs, inputs)
    new.conv.modulation.weight[inputs] = old.conv.modulation.weight
    new.conv.modulation.bias[inputs] = old.conv.modulation.bias


def _copy_convolution(
    old: torch.Tensor, new: torch.Tensor, outputs: torch.Tensor, inputs: torch.Tensor
) -> None:
    """Outputs that were there before read the inputs that were there before, and no others."""
    new[outputs] = 0
    # Weights are divided by √fan_in when they are used.
    new[outputs[:, None], inputs] = old * math.sqrt(new.shape[1] / old.shape[1])
