"""A layer for one face: what is known before the pixels goes into weights and biases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch

from . import compiled, ops, packed, winograd
from .layers import BiasedLeakyReLU, EqualizedConv

if TYPE_CHECKING:
    from torch import nn

    from .kept import Kept
    from .layers import StyledConv, ToRGB
    from .workspace import Workspace

SCALED = 64
"""Side in pixels up to which the inputs are multiplied by the style: the weights are more.

Those weights are the same for all faces, so they are laid out once: 300 MB more for GPEN-512.
"""


class Folded(NamedTuple):
    """What `conv2d` takes."""

    weight: torch.Tensor  # [O, I, k, k]
    bias: torch.Tensor  # [O]


class FoldedStyled(NamedTuple):
    """A `StyledConv`; its noise, times `noise_gain`, goes through the same activation.

    Attributes:
        convolve: [1, I, H + 2, W + 2] to [1, O, H, W], or, if it upsamples, [1, I, H, W] to
            [1, O, 2H + 4, 2W], bias included.
        bias: [O].
        noise_bias: [1, O, 1, W], as wide as the outputs, or None where the noise is added instead
            of appended.
    """

    convolve: packed.Convolution
    bias: torch.Tensor
    noise_gain: float
    noise_bias: torch.Tensor | None

    @property
    def channels(self) -> int:
        """Channels computed by the convolution."""
        return len(self.bias)

    @property
    def channels_out(self) -> int:
        """Channels handed on, the appended noise included."""
        return self.channels if self.noise_bias is None else 2 * self.channels


def fold_encoder_stage(
    stage: nn.Sequential, dtype: torch.dtype, width: int, kept: Kept, *, stride: int = 1
) -> packed.Convolution:
    """Convolution and activation of one of the encoder's stages, for inputs `width` wide."""

    def make() -> packed.Convolution:
        weight, bias = (tensor.to(dtype) for tensor in fold_gain(stage))
        return packed.convolution(weight, bias, width, stride=stride, slope=ops.SLOPE)

    return kept.prepared.get("convolution", stage, tuple(stage.parameters()), make)


def fold_gain(stage: nn.Sequential) -> Folded:
    """Weight and bias of one of the encoder's stages, the activation's √2 included; float32."""
    conv, activation = cast(EqualizedConv, stage[-2]), cast(BiasedLeakyReLU, stage[-1])
    weight = conv.weight.float() * (conv.scale * ops.SQRT2)
    return Folded(weight, activation.bias * ops.SQRT2)


def fold_styled(
    layer: StyledConv,
    latent: torch.Tensor,
    size: int,
    kept: Kept,
) -> FoldedStyled:
    """Fold the latent [1, D], for inputs of `size` pixels a side."""
    stored = layer.conv.weight[0]
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    squares = kept.prepared.get("squares", layer, (layer.conv.weight,), lambda: _squares(stored))
    energy = squares.double() @ style.double().square()
    demodulation = ops.demodulation(energy).float()
    norm = demodulation.mean()  # keeps what is stored in half precision near one
    style, gain = style * norm, demodulation / norm * ops.SQRT2
    bias = layer.activate.bias * ops.SQRT2
    fold = _fold_upsampling if layer.conv.blur is not None else _fold_plain
    dtype, outputs = stored.dtype, len(stored)
    noise_bias = None
    if layer.append_noise:
        # As long as a row: half precision is vectorised only along a long inner dimension.
        width = size if layer.conv.blur is None else 2 * size
        noise_bias = bias[outputs:].to(dtype).repeat(1, 1, width, 1).permute(0, 3, 1, 2)
    return FoldedStyled(
        fold(layer, style, gain, bias[:outputs], size, kept),
        bias[:outputs].to(dtype),
        layer.noise.weight.item() * ops.SQRT2,
        noise_bias,
    )


def fold_rgb(layer: ToRGB, latent: torch.Tensor) -> Folded:
    """Fold the latent [1, D]; float32 whatever the model's dtype."""
    style = layer.conv.modulation(latent)[0] * layer.conv.scale
    return Folded(layer.conv.weight[0].float() * style[:, None, None], layer.bias.flatten())


def _squares(weight: torch.Tensor) -> torch.Tensor:
    """The squared norm [O, I] of each filter of a weight [O, I, k, k], in float32."""
    taps = weight.flatten(2).unbind(2)
    squares = taps[0].float().square()
    for tap in taps[1:]:
        squares.addcmul_(tap.float(), tap.float())
    return squares


def _fold_upsampling(
    layer: StyledConv,
    style: torch.Tensor,
    gain: torch.Tensor,
    bias: torch.Tensor,
    size: int,
    kept: Kept,
) -> packed.Convolution:
    stored = layer.conv.weight[0]
    dtype = stored.dtype
    taps = (layer.fir_kernel * gain[:, None, None, None]).to(dtype)
    blur = packed.convolution(
        taps, bias.to(dtype), 2 * size + 1, padding=(3, 1), groups=len(stored)
    )
    if size <= SCALED:
        transpose = kept.prepared.get(
            "convolution",
            layer,
            (layer.conv.weight,),
            lambda: packed.transposed_convolution(stored.transpose(0, 1), size),
        )
        factors = style[:, None, None].to(dtype)
        return lambda x: blur(transpose(_scale(x, factors, kept.workspace)))
    weight = _multiply(stored, style[:, None, None], kept.workspace)
    transpose = packed.transposed_convolution(weight.to(dtype).transpose(0, 1), size)
    return lambda x: blur(transpose(x))


def _fold_plain(
    layer: StyledConv,
    style: torch.Tensor,
    gain: torch.Tensor,
    bias: torch.Tensor,
    size: int,
    kept: Kept,
) -> packed.Convolution:
    stored = layer.conv.weight[0]
    dtype = stored.dtype
    if size <= SCALED:
        convolve = kept.prepared.get(
            "convolution",
            layer,
            (layer.conv.weight,),
            lambda: _convolution(stored, None, size, kept),
        )
        factors, gain, bias = (factor[:, None, None].to(dtype) for factor in (style, gain, bias))

        def convolve_scaled(x: torch.Tensor) -> torch.Tensor:
            y = convolve(_scale(x, factors, kept.workspace))
            return torch.addcmul(bias, y, gain, out=y)

        return convolve_scaled
    weight = _multiply(stored, style[:, None, None], kept.workspace)
    weight *= gain[:, None, None, None]
    return _convolution(weight.to(dtype), bias.to(dtype), size, kept)


def _convolution(
    weight: torch.Tensor, bias: torch.Tensor | None, size: int, kept: Kept
) -> packed.Convolution:
    if winograd.pays(weight, size):
        transforms = compiled.TRANSFORMS if kept.compiled else None
        return winograd.convolution(weight, bias, size + 2, kept.workspace, transforms=transforms)
    return packed.convolution(weight, bias, size + 2)


def _multiply(weight: torch.Tensor, factors: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """In float32; the result lasts until the next call."""
    return workspace.take_like("weight", weight).copy_(weight).mul_(factors)


def _scale(x: torch.Tensor, factors: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    _, channels, height, width = x.shape
    out = workspace.take_rows("scaled", channels, height, width, x.dtype)
    return torch.mul(x, factors, out=out)
