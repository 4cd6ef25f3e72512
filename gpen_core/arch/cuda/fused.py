"""Runs GPEN on a GPU with one fused Triton kernel after each convolution.

A GPU computes GPEN's convolutions about as fast as it moves their inputs through memory, and the
plain modules read and write every pixel about ten times per convolution. Here one Triton kernel
(`kernels.py`) follows each convolution: it filters, activates, appends the encoder's feature,
computes RGB, and multiplies by the style of the next layer. Because the kernel applies the style,
all faces share the same weights, which are prepared once per model. A batch of faces adds two small
matrix products for its factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .. import ops
from ..precision import clamp_activations
from . import launch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layers import StyledConv, ToRGB
    from ..network import FreshNoise, Network
    from ..weight_cache import EngineMemory


@dataclass(frozen=True)
class Stage:
    """A stage of the encoder. Weight and bias include the activation's √2.

    Attributes:
        weight: [O, I, k, k].
        bias: [O], float32.
        taps: [4, 4], the FIR before the next stage; None in the last stage.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    taps: torch.Tensor | None


@dataclass(frozen=True)
class Styled:
    """A `StyledConv` without its style. Biases and the noise gain include the activation's √2.

    Attributes:
        weight: [O, I, 3, 3], or [I, O, 3, 3] if the layer upsamples. It is normalised: styles of
            one give unit variance.
        taps: [4, 4], the FIR of a layer that upsamples, else None.
        bias: [O], float32.
        noise_gain: [1], float32.
        noise_bias: [O], float32.
    """

    weight: torch.Tensor
    taps: torch.Tensor | None
    bias: torch.Tensor
    noise_gain: torch.Tensor
    noise_bias: torch.Tensor


@dataclass(frozen=True)
class GpuWeights:
    """A model's weights in the layout that the kernels read.

    There are K convolutions and R RGB layers. Their matrices are padded to C inputs and O outputs,
    the largest numbers of any layer. Everything but the weights of convolutions is float32.

    Attributes:
        encoder: the stages, finest first.
        constant: [1, C', 4, 4], the start of the generator.
        styled: the K convolutions.
        modulation: [D, (K + R)·C], maps the latent to styles.
        modulation_bias: [(K + R)·C].
        energy: [K, C, O], squared norms of the filters.
        unit: [K, 1, O], the factor that normalised `Styled.weight`.
        rgb_weight: [R, 3, C].
        rgb_bias: [R, 3].
        rgb_taps: the FIRs [4, 4] that upsample RGB, flipped; None for the first level.
    """

    encoder: list[Stage]
    constant: torch.Tensor
    styled: list[Styled]
    modulation: torch.Tensor
    modulation_bias: torch.Tensor
    energy: torch.Tensor
    unit: torch.Tensor
    rgb_weight: torch.Tensor
    rgb_bias: torch.Tensor
    rgb_taps: list[torch.Tensor | None]


@dataclass(frozen=True)
class BatchFactors:
    """The factors that a batch of latents gives the layers; float32.

    Attributes:
        scale: [N, K, C], multiplies the inputs of a convolution; at most 1.
        gain: [N, K, O], multiplies its outputs, √2 included.
        rgb_weight: [N, R, 3, C], the modulated weights of RGB.
    """

    scale: torch.Tensor
    gain: torch.Tensor
    rgb_weight: torch.Tensor


def restore_faces(
    model: Network, x: torch.Tensor, fresh_noise: FreshNoise, memory: EngineMemory
) -> torch.Tensor:
    """Compute the same as `Network.compute`; the model must append noise, and N must not be 0."""
    with torch.cuda.device_of(x):
        return _restore(model, x, fresh_noise, memory)


def _restore(
    model: Network, x: torch.Tensor, fresh_noise: FreshNoise, memory: EngineMemory
) -> torch.Tensor:
    tensors = [*model.parameters(), *model.buffers()]
    weights = memory.cache.get("gpu weights", model, tensors, lambda: prepare_weights(model))
    latent, features = _encode(model, weights, x)
    factors = _modulate(weights, latent)
    x = weights.constant * factors.scale[:, 0, : weights.constant.shape[1], None, None]
    x = x.to(model.dtype, memory_format=torch.channels_last)
    rgb = None
    for index in range(len(model.config.resolutions)):
        for number in (0,) if index == 0 else (2 * index - 1, 2 * index):
            if index < len(features):
                noise = features[index]
            else:
                noise = fresh_noise(index).to(x, memory_format=torch.channels_last)
            layer = weights.styled[number]
            activation = _activation_of(weights, factors, number)
            if layer.taps is not None:
                x = F.conv_transpose2d(x, layer.weight, stride=2)
                x = launch.upsample(x, layer.taps, activation, noise)
                continue
            x = F.conv2d(x, layer.weight, padding=1)
            taps = weights.rgb_taps[index]
            below = None if rgb is None or taps is None else (rgb, taps)
            weight, bias = factors.rgb_weight[:, index], weights.rgb_bias[index]
            out, rgb = launch.finish_level(x, activation, noise, weight, bias, below)
            x = rgb if out is None else out
    assert rgb is not None
    return rgb


def _activation_of(weights: GpuWeights, factors: BatchFactors, number: int) -> launch.Activation:
    layer = weights.styled[number]
    scale = None if number + 1 == len(weights.styled) else factors.scale[:, number + 1]
    gain = factors.gain[:, number]
    return launch.Activation(gain, layer.bias, layer.noise_gain, layer.noise_bias, scale)


def prepare_weights(model: Network) -> GpuWeights:
    """Put a model's weights into the layout that the kernels read."""
    generator, dtype = model.generator, model.dtype
    styled: list[StyledConv] = [generator.conv1]
    rgbs: list[ToRGB] = [generator.to_rgb1]
    for index in range(1, len(model.config.resolutions)):
        up, conv, to_rgb = generator.level(index)
        styled += [up, conv]
        rgbs.append(to_rgb)
    modulated = [layer.conv for layer in (*styled, *rgbs)]
    weights = [layer.weight[0].float() * layer.scale for layer in modulated]
    convolutions, to_rgb = weights[: len(styled)], weights[len(styled) :]
    energies = [weight.square().sum(dim=(2, 3)).t() for weight in convolutions]  # [I, O]
    units = [ops.demodulation(energy.sum(dim=0, keepdim=True)) for energy in energies]  # [1, O]
    modulation = _stack_padded(
        [layer.modulation.weight * layer.modulation.scale for layer in modulated]
    )
    biases = [layer.modulation.bias[:, None] for layer in modulated]
    return GpuWeights(
        encoder=[_prepare_stage(model, level) for level in range(model.encoder_levels)],
        constant=generator.input.input.float(),
        styled=[
            _prepare_styled(layer, weight * unit.view(-1, 1, 1, 1), dtype)
            for layer, weight, unit in zip(styled, convolutions, units, strict=True)
        ],
        modulation=modulation.flatten(0, 1).t().contiguous(),
        modulation_bias=_stack_padded(biases).flatten(),
        energy=_stack_padded(energies),
        unit=_stack_padded(units, value=1),
        rgb_weight=_stack_padded([weight[:, :, 0, 0] for weight in to_rgb], modulation.shape[1]),
        rgb_bias=torch.stack([layer.bias.flatten() for layer in rgbs]),
        rgb_taps=[
            None if layer.upsample is None else layer.upsample.kernel.flip(0, 1).contiguous()
            for layer in rgbs
        ],
    )


def _prepare_stage(model: Network, level: int) -> Stage:
    weight, bias = model.encoder_stage(level).fold_gain()
    last = level == model.encoder_levels - 1
    blur = None if last else model.encoder_stage(level + 1).blur
    return Stage(
        weight.to(model.dtype).contiguous(memory_format=torch.channels_last),
        bias,
        None if blur is None else blur.kernel,
    )


def _prepare_styled(layer: StyledConv, weight: torch.Tensor, dtype: torch.dtype) -> Styled:
    upsamples = layer.conv.blur is not None
    if upsamples:
        weight = weight.transpose(0, 1)
    bias, noise_bias = (layer.activate.bias * ops.SQRT2).chunk(2)
    return Styled(
        weight.to(dtype).contiguous(memory_format=torch.channels_last),
        layer.fir_kernel if upsamples else None,
        bias,
        layer.noise.weight * ops.SQRT2,
        noise_bias,
    )


def _stack_padded(
    matrices: Sequence[torch.Tensor], columns: int = 0, *, value: float = 0
) -> torch.Tensor:
    """Stack matrices of several sizes, padding with `value` below and to the right."""
    rows = max(matrix.shape[0] for matrix in matrices)
    columns = max(columns, *(matrix.shape[1] for matrix in matrices))
    return torch.stack(
        [F.pad(m, (0, columns - m.shape[1], 0, rows - m.shape[0]), value=value) for m in matrices]
    )


def _encode(
    model: Network, weights: GpuWeights, x: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Compute the same as `Network.encode`."""
    features = []
    x = x.to(model.dtype, memory_format=torch.channels_last)
    for level, stage in enumerate(weights.encoder):
        x = F.conv2d(x, stage.weight, stride=2 if level else 1)
        if stage.taps is None:
            x = F.leaky_relu(x + stage.bias.to(x)[:, None, None], ops.SLOPE)
            feature = clamp_activations(x).contiguous(memory_format=torch.channels_last)
        else:
            feature, x = launch.blur(x, stage.bias, stage.taps)
        features.append(feature)
    return model.latent_of(features[-1]), features[::-1]


def _modulate(weights: GpuWeights, latent: torch.Tensor) -> BatchFactors:
    count, convolutions = len(latent), len(weights.styled)
    styles = torch.addmm(weights.modulation_bias, latent, weights.modulation)
    styles = styles.view(count, convolutions + len(weights.rgb_bias), -1)
    style, rgb_style = styles[:, :convolutions], styles[:, convolutions:]
    peak = style.abs().amax(dim=2, keepdim=True).clamp_min(1e-20)  # [N, K, 1]
    scale = style / peak
    energy = torch.bmm(scale.square().transpose(0, 1), weights.energy)  # [K, N, O]
    peaks = peak.transpose(0, 1)  # [K, N, 1]
    gain = ops.demodulation(energy * peaks.square()) * peaks / weights.unit * ops.SQRT2
    return BatchFactors(
        scale.contiguous(),
        gain.transpose(0, 1).contiguous(),
        weights.rgb_weight * rgb_style[:, :, None],
    )
