"""The arithmetic of GPEN's layers, fast; `reference.py` has the same, slow and plain.

Equation numbers are those of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .cuda import folded_fir, launch
from .precision import clamp_activations

if TYPE_CHECKING:
    from collections.abc import Callable

SQRT2 = math.sqrt(2)
SLOPE = 0.2
DEMODULATION_EPS = 1e-8


def biased_leaky_relu(
    x: torch.Tensor, bias: torch.Tensor, gain: torch.Tensor | None = None
) -> torch.Tensor:
    """`leaky_relu(x · gain + bias, 0.2) · √2`.

    Args:
        x: [N, C, …].
        bias: [C].
        gain: [1].
    """
    # √2 goes into gain and bias: leaky ReLU is homogeneous.
    bias = (bias * SQRT2).view(1, -1, *[1] * (x.ndim - 2)).to(x.dtype)
    if gain is None:
        x = torch.add(bias, x, alpha=SQRT2)
    else:
        x = torch.addcmul(bias, x, (gain * SQRT2).to(x.dtype))
    return clamp_activations(F.leaky_relu_(x, SLOPE))


def fir(x: torch.Tensor, kernel: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """Filter every channel of x [N, C, H, W] with the symmetric `kernel` [k, k].

    Args:
        padding: zeros before and after, the same in x and y.
    """
    channels = x.shape[1]
    before, after = padding
    if launch.supports(x):
        return launch.FIR.apply(x, kernel, before, after)
    if before != after:
        x = F.pad(x, (before, after, before, after))
        before = 0
    weight = kernel.to(x.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, padding=before, groups=channels)


def fir_upsample(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x [N, C, H, W] at twice the size: a zero after every sample, then the FIR (gain 4)."""
    channels = x.shape[1]
    if launch.supports(x):
        spread = x.new_zeros((len(x), channels, 2 * x.shape[2], 2 * x.shape[3]))
        spread[:, :, ::2, ::2] = x
        return fir(spread, kernel, (2, 1))
    weight = kernel.to(x.dtype).flip(0, 1).expand(channels, 1, -1, -1)
    # Zero insertion followed by a 4-tap filter padded 2 before and 1 after is the transposed
    # convolution of stride 2 cropped by one sample on each side.
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def demodulation(energy: torch.Tensor) -> torch.Tensor:
    """What an output channel is multiplied by, from the squared norm of its weights (eq. 3)."""
    return torch.rsqrt(energy + DEMODULATION_EPS)


def modulated_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    *,
    demodulate: bool,
    upsample: bool,
) -> torch.Tensor:
    """Modulated convolution, eqs. 1 and 3.

    One sample gets weights of its own. More share one plain convolution: scaling the input
    channels by the style and the output channels by the demodulation equals scaling the weights of
    each. Factors are computed in float32, and those that meet x in half precision are normalised,
    so that neither large styles nor large weights can overflow.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], already scaled by 1/√fan_in.
        style: [N, I], float32.
        demodulate: normalise the output channels to unit variance.
        upsample: transposed with stride 2, giving 2H + 1 (the FIR that follows trims it).

    Returns:
        [N, O, …] in x's dtype; without demodulation, which may give any size, in float32.
    """
    return _modulate(
        x, weight, style, lambda x, weight: _convolve(x, weight, upsample), demodulate=demodulate
    )


def modulated_upsample(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    """`modulated_conv`, demodulated and upsampling, and the FIR `kernel` [4, 4] that follows it.

    x [N, I, H, W] to [N, O, 2H, 2W].
    """
    if folded_fir.is_faster(x):
        return _modulate(
            x,
            weight,
            style,
            lambda x, weight: folded_fir.upsample(x, weight, kernel),
            demodulate=True,
        )
    return fir(modulated_conv(x, weight, style, demodulate=True, upsample=True), kernel, (1, 1))


def downsample(x: torch.Tensor, weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """A FIR [4, 4] padded by 2, and a convolution of stride 2 with weight [O, I, 3, 3]."""
    if folded_fir.is_faster(x):
        return folded_fir.downsample(x, weight, kernel)
    return F.conv2d(fir(x, kernel, (2, 2)), weight.to(x.dtype), stride=2)


def _modulate(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    convolve: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    demodulate: bool,
) -> torch.Tensor:
    weight = weight.float()
    if len(style) == 1:
        weight = weight * style[0, :, None, None]
        unit = demodulation(weight.square().sum(dim=(1, 2, 3)))[:, None, None, None]  # [O, 1, 1, 1]
        y = convolve(x, weight * unit)
        return y if demodulate else y.float() / unit[:, 0]
    squares = weight.square().sum(dim=(2, 3))  # [O, I]
    unit = demodulation(squares.sum(dim=1)).detach()  # [O]
    peak = style.abs().amax(dim=1, keepdim=True).clamp_min(1e-20).detach()  # [N, 1]
    x = x * (style / peak).to(x.dtype)[:, :, None, None]
    y = convolve(x, weight * unit[:, None, None, None])
    gain = peak / unit  # [N, O]
    if not demodulate:
        return y.float() * gain[:, :, None, None]
    gain = gain * demodulation(style.square() @ squares.t())
    return y * gain.to(y.dtype)[:, :, None, None]


def _convolve(x: torch.Tensor, weight: torch.Tensor, upsample: bool) -> torch.Tensor:
    weight = weight.to(x.dtype)
    if upsample:
        return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
