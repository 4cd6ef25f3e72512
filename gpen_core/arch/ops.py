"""The arithmetic of GPEN's layers, fast; `reference.py` has the same, slow and plain.

Equation numbers are those of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

SQRT2 = math.sqrt(2)
DEMODULATION_EPS = 1e-8


def biased_leaky_relu(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """`leaky_relu(x + bias, 0.2) · √2`; x is [N, C, …], bias [C]."""
    bias = bias.view(1, -1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x + bias, 0.2) * SQRT2


def fir(x: torch.Tensor, kernel: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """Filter every channel of x [N, C, H, W] with the symmetric `kernel` [k, k].

    Args:
        padding: zeros before and after, the same in x and y.
    """
    channels = x.shape[1]
    before, after = padding
    if before != after:
        x = F.pad(x, (before, after, before, after))
        before = 0
    weight = kernel.to(x.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, padding=before, groups=channels)


def fir_upsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x [N, C, H, W] at twice the size: a zero after every sample, then the FIR (gain 4)."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).flip(0, 1).expand(channels, 1, -1, -1)
    # Zero insertion followed by a 4-tap filter padded 2 before and 1 after is the transposed
    # convolution of stride 2 cropped by one sample on each side.
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def modulated_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    *,
    demodulate: bool,
    upsample: bool,
) -> torch.Tensor:
    """Modulated convolution, eqs. 1 and 3, with one weight shared by the batch.

    Scaling the input channels by the style and the output channels by the demodulation equals
    scaling the weights of each sample, and lets one plain convolution serve them all.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], already scaled by 1/√fan_in.
        style: [N, I].
        demodulate: normalise the output channels to unit variance.
        upsample: transposed with stride 2, giving 2H + 1 (the FIR that follows trims it).
    """
    x = x * style.to(x.dtype)[:, :, None, None]
    if upsample:
        x = F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2)
    else:
        x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)
    if demodulate:
        energy = style.square() @ weight.float().square().sum(dim=(2, 3)).t()  # [N, O]
        x = x * torch.rsqrt(energy + DEMODULATION_EPS).to(x.dtype)[:, :, None, None]
    return x
