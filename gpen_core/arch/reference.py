"""The slow, plain form of `ops`, as the equations are written: what `ops` is tested against."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .ops import DEMODULATION_EPS


def fir(x: torch.Tensor, kernel: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """Filter x [N, C, H, W] by shifted sums; `padding` zeros before and after."""
    before, after = padding
    x = F.pad(x, (before, after, before, after))
    taps = kernel.shape[0]
    height, width = x.shape[2] - taps + 1, x.shape[3] - taps + 1
    total = torch.zeros_like(x[:, :, :height, :width])
    for i in range(taps):
        for j in range(taps):
            total += kernel[i, j] * x[:, :, i : i + height, j : j + width]
    return total


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
    """Modulated convolution with one weight per sample, in groups; arguments as in `ops`."""
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
