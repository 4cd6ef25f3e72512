"""Folds a FIR into the convolution beside it, for GPUs without Triton.

cuDNN computes a FIR as a convolution in groups of one channel, twenty times slower than the GPU
reads the pixels: on an H200, the first FIR alone took 4.3 of the 29 ms of GPEN-2048. The folded
layer has 36 taps instead of 9, so four times the multiplications, and is still faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from . import launch


def is_faster(x: torch.Tensor) -> bool:
    """Tell whether the folded layers are faster for x."""
    return x.device.type == "cuda" and not launch.supports(x)


def upsample(x: torch.Tensor, weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Apply a transposed convolution of stride 2, then the FIR, padded by 1.

    Args:
        x: [N, I, H, W].
        weight: [O, I, 3, 3].
        kernel: [4, 4].

    Returns:
        [N, O, 2H, 2W], channels_last.
    """
    outputs, inputs = weight.shape[:2]
    # Output 2r + a, a = 0, 1, adds up the inputs r + d, d = -1, 0, 1, times the taps a − 2d, where
    # the six taps are counted from -2 to 3.
    taps = _fold_taps(weight, kernel).view(outputs, inputs, 3, 2, 3, 2).flip(2, 4)
    taps = taps.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)  # [2·2·O, I, 3, 3]
    y = F.conv2d(x, taps.to(x.dtype), padding=1)
    count, _, height, width = y.shape
    y = y.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, outputs)
    y = y.transpose(2, 3).reshape(count, 2 * height, 2 * width, outputs)
    return y.permute(0, 3, 1, 2)


def downsample(x: torch.Tensor, weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Apply the FIR, padded by 2, then a convolution of stride 2.

    It maps x [N, I, H, W] to [N, O, H/2, W/2].
    """
    taps = _fold_taps(weight, kernel.flip(0, 1))
    return F.conv2d(x, taps.to(x.dtype), stride=2, padding=2)


def _fold_taps(weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Correlate every filter of a weight [O, I, 3, 3] with the kernel; returns [O, I, 6, 6]."""
    filters = weight.float().flatten(0, 1)[:, None]
    taps = F.conv2d(filters, kernel.float()[None, None], padding=3)
    return taps.view(*weight.shape[:2], 6, 6)
