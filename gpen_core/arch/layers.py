"""GPEN's layers. Attribute names give the published tensor names; `network.py` joins the layers."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import nn

from . import ops

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def random_parameter(*shape: int, std: float = 1) -> nn.Parameter:
    """Return a parameter of normal random values.

    On the meta device it has no values: there a network is built for a checkpoint's tensors.
    """
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=std))


class FIR(nn.Module):
    """Holds the blur [4, 4] that accompanies a change of resolution; its taps add up to `gain`."""

    kernel: torch.Tensor

    def __init__(self, gain: float = 1) -> None:
        super().__init__()
        scale = gain / sum(FIR_TAPS) ** 2
        kernel = [[a * b * scale for b in FIR_TAPS] for a in FIR_TAPS]
        self.register_buffer("kernel", torch.tensor(kernel))


class EqualizedConv(nn.Module):
    """Convolution without bias, whose weight [O, I, k, k] is divided by √fan_in before use.

    A 3×3 kernel has stride 2 and no padding, because the FIR before it pads; a 1×1 kernel has
    stride 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = random_parameter(outputs, inputs, kernel_size, kernel_size)
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.stride = 2 if kernel_size > 1 else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = (self.weight.float() * self.scale).to(x.dtype)
        return nn.functional.conv2d(x, weight, stride=self.stride)

    def store_as(self, dtype: torch.dtype) -> None:
        """Store the weight in `dtype` and in the layout that convolutions read."""
        self.weight.data = self.weight.data.to(dtype, memory_format=torch.channels_last)


class EqualizedLinear(nn.Module):
    """Linear layer that multiplies its weight by lr_mul/√inputs and its bias by lr_mul."""

    def __init__(
        self, inputs: int, outputs: int, *, bias_init: float = 0, lr_mul: float = 1, lrelu: bool
    ) -> None:
        super().__init__()
        self.weight = random_parameter(outputs, inputs, std=1 / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias_init)))
        self.scale = lr_mul / math.sqrt(inputs)
        self.lr_mul = lr_mul
        self.lrelu = lrelu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # √2 multiplies x and bias, instead of `torch.add(bias, x, alpha=√2)`: after a matrix
        # product, torch 2.14's inductor drops that alpha, and a network compiled for training would
        # learn without it.
        gain = ops.SQRT2 if self.lrelu else 1
        x = (x * (self.scale * gain)) @ self.weight.t() + self.bias * (self.lr_mul * gain)
        return nn.functional.leaky_relu(x, ops.SLOPE) if self.lrelu else x


class PixelNorm(nn.Module):
    """Scales every row of x [N, D] to a mean square of one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class BiasedLeakyReLU(nn.Module):
    """Adds a bias [C], applies leaky ReLU (slope 0.2), and multiplies by √2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.biased_leaky_relu(x, self.bias)


class EncoderBlur(FIR):
    """FIR before the encoder's strided convolution; it pads by 2 on every side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.fir(x, self.kernel, (2, 2))


class FoldedConv(NamedTuple):
    """A weight [O, I, k, k] and a bias [O], as `conv2d` takes them; float32."""

    weight: torch.Tensor
    bias: torch.Tensor


class EncoderStage(nn.Sequential):
    """An optional FIR, a convolution and an activation: the modules 0, 1, 2 or 0, 1.

    A stage with a FIR halves the size.
    """

    @property
    def blur(self) -> EncoderBlur | None:
        """The FIR of a stage that downsamples."""
        first = self[0]
        return first if isinstance(first, EncoderBlur) else None

    @property
    def conv(self) -> EqualizedConv:
        """The convolution, of stride 2 after a FIR."""
        return cast("EqualizedConv", self[-2])

    @property
    def activation(self) -> BiasedLeakyReLU:
        """The bias and leaky ReLU."""
        return cast("BiasedLeakyReLU", self[-1])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.blur is None:
            return super().forward(input)
        weight = self.conv.weight.float() * self.conv.scale
        return self.activation(ops.downsample(input, weight, self.blur.kernel))

    def fold_gain(self) -> FoldedConv:
        """Fold the weight's scale and the activation's √2 into the weight and the bias."""
        weight = self.conv.weight.float() * (self.conv.scale * ops.SQRT2)
        return FoldedConv(weight, self.activation.bias.float() * ops.SQRT2)


def encoder_stage(inputs: int, outputs: int, *, downsample: bool) -> nn.Sequential:
    """Make one encoder level: [N, inputs, H, W] to [N, outputs, H, W], or to half the size."""
    layers: list[nn.Module] = [EncoderBlur()] if downsample else []
    layers.append(EqualizedConv(inputs, outputs, 3 if downsample else 1))
    layers.append(BiasedLeakyReLU(outputs))
    return nn.Sequential(EncoderStage(*layers))


class ModulatedConv(nn.Module):
    """Convolution modulated by a latent. Its weight is [1, O, I, k, k], as published."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.weight = random_parameter(1, outputs, inputs, kernel_size, kernel_size)
        self.modulation = EqualizedLinear(style_dim, inputs, bias_init=1, lrelu=False)
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.demodulate = demodulate
        self.blur = FIR(gain=4) if upsample else None

    def forward(self, x: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        style, weight = self.modulation(latent), self.weight[0].float() * self.scale
        if self.blur is not None:
            return ops.modulated_upsample(x, weight, style, self.blur.kernel)
        return ops.modulated_conv(x, weight, style, demodulate=self.demodulate, upsample=False)

    def store_as(self, dtype: torch.dtype) -> None:
        """Store the weight in `dtype` and in the layout that convolutions read."""
        weight = self.weight.data[0].to(dtype)
        if self.blur is None:
            weight = weight.contiguous(memory_format=torch.channels_last)
        else:  # a transposed convolution reads [I, O, k, k]
            weight = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            weight = weight.transpose(0, 1)
        self.weight.data = weight[None]


class NoiseGain(nn.Module):
    """Holds the scalar that multiplies a layer's noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise that is appended or added, bias and activation.

    It maps [N, inputs, H, W] to [N, outputs, …], or to [N, 2·outputs, …] if it appends the noise;
    "…" is H, W, or 2H, 2W if it upsamples.
    """

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, *, append_noise: bool, upsample: bool
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, upsample=upsample)
        self.noise = NoiseGain()
        self.activate = BiasedLeakyReLU(outputs * (2 if append_noise else 1))
        self.append_noise = append_noise

    @property
    def fir_kernel(self) -> torch.Tensor:
        """The FIR [4, 4] of an upsampling layer."""
        assert self.conv.blur is not None
        return self.conv.blur.kernel

    def forward(self, x: torch.Tensor, latent: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x = self.conv(x, latent)
        gain, bias = self.noise.weight, self.activate.bias
        if not self.append_noise:
            return self.activate(torch.addcmul(x, noise, gain.to(noise.dtype)))
        bias, noise_bias = bias.chunk(2)
        x = ops.biased_leaky_relu(x, bias)
        noise = ops.biased_leaky_relu(noise, noise_bias, gain)
        return torch.cat([x, noise], dim=1)


class ToRGB(nn.Module):
    """Computes a level's RGB, and adds it to the upsampled RGB of the level below."""

    def __init__(self, inputs: int, style_dim: int, *, upsample: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.conv = ModulatedConv(inputs, 3, 1, style_dim, demodulate=False)
        self.upsample = FIR(gain=4) if upsample else None

    def forward(
        self, x: torch.Tensor, latent: torch.Tensor, skip: torch.Tensor | None = None
    ) -> torch.Tensor:
        rgb = self.conv(x, latent) + self.bias
        if skip is None or self.upsample is None:
            return rgb
        return rgb + ops.fir_upsample(skip, self.upsample.kernel)


class ConstantInput(nn.Module):
    """Holds the learned start [1, C, 4, 4] of the generator."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = random_parameter(1, channels, 4, 4)
