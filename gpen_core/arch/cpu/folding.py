"""Folds everything that is known before the pixels into weights, biases and factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from .. import ops
from . import launch, packed, polyphase
from .factors import Factors

if TYPE_CHECKING:
    from ..layers import EncoderStage, StyledConv
    from ..weight_cache import EngineMemory


class Downsampling(NamedTuple):
    """A stage of the encoder that downsamples.

    Attributes:
        blur: applies the FIR, [1, I, H, W] to [1, I, H + 1, W + 1].
        convolve: convolves with stride 2 and activates, [1, I, 2H + 1, 2W + 1] into [1, O, H, W].
    """

    blur: packed.Convolution
    convolve: Callable[[torch.Tensor, torch.Tensor], object]


def fold_first_stage(
    stage: EncoderStage, dtype: torch.dtype, size: int, memory: EngineMemory
) -> packed.Convolution:
    """Make the convolution and activation of the encoder's first stage.

    Args:
        size: side of the image in pixels.
    """

    def make() -> packed.Convolution:
        weight, bias = (tensor.to(dtype) for tensor in stage.fold_gain())
        return packed.make_convolution(weight, bias, size, slope=ops.SLOPE)

    return memory.cache.get("convolution", stage, tuple(stage.parameters()), make)


def fold_downsampling(
    stage: EncoderStage, dtype: torch.dtype, size: int, rows: int, memory: EngineMemory
) -> Downsampling:
    """Make one of the encoder's other stages.

    Args:
        size: side of its output in pixels.
        rows: rows of the output that are computed at a time.
    """

    def make() -> Callable[[torch.Tensor, torch.Tensor], object]:
        weight, bias = stage.fold_gain()
        weight = weight.to(dtype)
        if polyphase.is_faster(weight, size):
            phases = polyphase.prepare(weight, rows // 4, size // 4)
            return polyphase.make_convolution(phases, bias, memory.workspace)
        convolve = packed.make_convolution(
            weight, bias.to(dtype), 2 * size + 1, stride=2, slope=ops.SLOPE
        )
        return lambda x, out: out.copy_(convolve(x))

    convolve = memory.cache.get("convolution", stage, tuple(stage.parameters()), make)
    assert stage.blur is not None
    taps = stage.blur.kernel.float().contiguous()
    if launch.supports(dtype, stage.conv.weight.shape[1]):
        return Downsampling(lambda x: launch.blur(x, taps), convolve)
    return Downsampling(lambda x: ops.fir(x, taps, (2, 2)), convolve)


def fold_latent(layer: StyledConv, latent: torch.Tensor, memory: EngineMemory) -> Factors:
    """Compute a layer's factors from the latent [1, D]."""
    stored = layer.conv.weight[0]
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    squares = memory.cache.get("squares", layer, (layer.conv.weight,), lambda: _squares(stored))
    energy = squares.double() @ style.double().square()
    demodulation = ops.demodulation(energy).float()
    # Part of the gain goes into the style: the convolution's results, which half precision rounds,
    # then stay near one.
    norm = demodulation.mean()
    bias = layer.activate.bias.float() * ops.SQRT2
    outputs = len(stored)
    return Factors(
        (style * norm).float(),
        demodulation / norm * ops.SQRT2,
        bias[:outputs],
        layer.noise.weight.float() * ops.SQRT2,
        bias[outputs:] if layer.append_noise else None,
    )


def _squares(weight: torch.Tensor) -> torch.Tensor:
    """Return the squared norm [O, I] of each filter of a weight [O, I, k, k], in float32."""
    taps = weight.flatten(2).unbind(2)
    squares = taps[0].float().square()
    for tap in taps[1:]:
        squares.addcmul_(tap.float(), tap.float())
    return squares
