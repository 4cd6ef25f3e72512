"""Computes GPEN's layers fast; `reference.py` does the same slowly and plainly.

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
    # √2 may multiply gain and bias instead of the result, because leaky ReLU is homogeneous.
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
    """Double the size of x [N, C, H, W]: insert a zero after every sample, then apply the FIR.

    Args:
        kernel: [4, 4], symmetric, of gain 4.
    """
    channels = x.shape[1]
    if launch.supports(x):
        spread = x.new_zeros((len(x), channels, 2 * x.shape[2], 2 * x.shape[3]))
        spread[:, :, ::2, ::2] = x
        return fir(spread, kernel, (2, 1))
    weight = kernel.to(x.dtype).flip(0, 1).expand(channels, 1, -1, -1)
    # Inserting zeros and filtering with 4 taps, padded by 2 before and 1 after, equals a transposed
    # convolution of stride 2, cropped by one sample on each side.
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def demodulation(energy: torch.Tensor) -> torch.Tensor:
    """Return the factor of an output channel, from the squared norm of its weights (eq. 3)."""
    return torch.rsqrt(energy + DEMODULATION_EPS)


def modulated_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    *,
    demodulate: bool,
    upsample: bool,
) -> torch.Tensor:
    """Convolve with weights that the style modulates, eqs. 1 and 3.

    For a single sample, the style multiplies the weights. Several samples share one plain
    convolution, because scaling the input channels by the style and the output channels by the
    demodulation has the same effect. Factors are computed in float32. Those that multiply x in half
    precision are normalised first, so that neither large styles nor large weights overflow.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], already multiplied by 1/√fan_in.
        style: [N, I], float32.
        demodulate: normalise the output channels to unit variance.
        upsample: transpose the convolution with stride 2; it gives 2H + 1 rows and 2W + 1 columns,
            which the FIR that follows trims.

    Returns:
        [N, O, …] in x's dtype, but float32 without demodulation, whose results may be of any size.
    """
    return _modulate(
        x, weight, style, lambda x, weight: _convolve(x, weight, upsample), demodulate=demodulate
    )


def modulated_upsample(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    """Apply `modulated_conv` with upsampling and demodulation, then the FIR `kernel` [4, 4].

    It maps x [N, I, H, W] to [N, O, 2H, 2W].
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
    """Apply the FIR `kernel` [4, 4], padded by 2, and convolve with stride 2.

    Args:
        weight: [O, I, 3, 3].
    """
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
