"""Computes the network slowly and plainly, as the equations say and as the published code does.

The tests compare the engines with it, benchmarks time them beside it, and it exports to ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from .ops import DEMODULATION_EPS, SLOPE, SQRT2

if TYPE_CHECKING:
    from .layers import StyledConv
    from .network import Network


def fir(x: torch.Tensor, kernel: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """Filter every channel of x [N, C, H, W] separately.

    Args:
        padding: zeros before and after, the same in x and y.
    """
    before, after = padding
    batch, channels = x.shape[:2]
    x = F.pad(x, (before, after, before, after)).flatten(0, 1)[:, None]  # [N·C, 1, H, W]
    x = F.conv2d(x, kernel.flip(0, 1)[None, None])
    return x.reshape(batch, channels, *x.shape[2:])


def fir_upsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Insert a zero after every sample of x [N, C, H, W], then filter; gives [N, C, 2H, 2W]."""
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = x
    return fir(spread, kernel, (2, 1))


def modulated_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    *,
    demodulate: bool,
    upsample: bool,
) -> torch.Tensor:
    """Convolve in groups, with one modulated weight per sample; arguments as in `ops`."""
    batch, channels, height, width = x.shape
    weights = weight[None] * style[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        energy = weights.square().sum(dim=(2, 3, 4), keepdim=True)
        weights = weights * torch.rsqrt(energy + DEMODULATION_EPS)
    x = x.reshape(1, batch * channels, height, width)
    if upsample:
        weights = weights.transpose(1, 2).flatten(0, 1)  # [N·I, O, k, k]
        x = F.conv_transpose2d(x, weights, stride=2, groups=batch)
    else:
        x = F.conv2d(x, weights.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
    return x.reshape(batch, weight.shape[0], *x.shape[2:])


class ReferenceGPEN(nn.Module):
    """Computes the same as a float32 GPEN whose input is as large as its output.

    Args:
        model: the network that holds the weights.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Restore x [N, 3, S, S] in [-1, 1]; return [N, 3, S, S], not clamped."""
        features = []
        for level in range(self.model.encoder_levels):
            stage = self.model.encoder_stage(level)
            if stage.blur is not None:
                x = fir(x, stage.blur.kernel, (2, 2))
            x = F.conv2d(x, stage.conv.weight * stage.conv.scale, stride=stage.conv.stride)
            x = _activate(x, stage.activation.bias)
            features.insert(0, x)
        generator = self.model.generator
        latent = generator.style(self.model.final_linear(x.flatten(1)))

        x = generator.input.input.repeat(len(latent), 1, 1, 1)
        x = _styled_conv(generator.conv1, x, latent, features[0])
        rgb = generator.to_rgb1(x, latent)
        for level in range(1, len(features)):
            *layers, to_rgb = generator.level(level)
            for layer in layers:
                x = _styled_conv(layer, x, latent, features[level])
            weight = to_rgb.conv.weight[0] * to_rgb.conv.scale
            style = to_rgb.conv.modulation(latent)
            levels_rgb = modulated_conv(x, weight, style, demodulate=False, upsample=False)
            rgb = levels_rgb + to_rgb.bias + fir_upsample(rgb, to_rgb.get_buffer("upsample.kernel"))
        return rgb


def _styled_conv(
    layer: StyledConv, x: torch.Tensor, latent: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    upsample = layer.conv.blur is not None
    weight = layer.conv.weight[0] * layer.conv.scale
    style = layer.conv.modulation(latent)
    x = modulated_conv(x, weight, style, demodulate=True, upsample=upsample)
    if upsample:
        x = fir(x, layer.fir_kernel, (1, 1))
    noise = noise * layer.noise.weight
    x = torch.cat([x, noise], dim=1) if layer.append_noise else x + noise
    return _activate(x, layer.activate.bias)


def _activate(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x + bias[:, None, None], SLOPE) * SQRT2
