"""A FIR and the convolution beside it as one convolution, for GPUs without Triton.

cuDNN computes a FIR, a convolution of every channel by itself, twenty times slower than the GPU
reads its pixels: 4.3 ms of the 29 that GPEN-2048 took on an H200 went into the first alone. Four
times the multiplications of the layer are quicker.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from . import launch


def is_faster(x: torch.Tensor) -> bool:
    """Whether they pay for x."""
    return x.device.type == "cuda" and not launch.supports(x)


def upsample(x: torch.Tensor, weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """A transposed convolution of stride 2, then the FIR padded by 1.

    Args:
        x: [N, I, H, W].
        weight: [O, I, 3, 3].
        kernel: [4, 4].

    Returns:
        [N, O, 2H, 2W], channels_last.
    """
    outputs, inputs = weight.shape[:2]
    # Pixel 2r + a takes the inputs r + d, d = -1, 0, 1, by the tap a − 2d of those -2 … 3.
    taps = _fold_taps(weight, kernel).view(outputs, inputs, 3, 2, 3, 2).flip(2, 4)
    taps = taps.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)  # [2·2·O, I, 3, 3]
    y = F.conv2d(x, taps.to(x.dtype), padding=1)
    count, _, height, width = y.shape
    y = y.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, outputs)
    y = y.transpose(2, 3).reshape(count, 2 * height, 2 * width, outputs)
    return y.permute(0, 3, 1, 2)


def downsample(x: torch.Tensor, weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The FIR padded by 2, then a convolution of stride 2: [N, I, H, W] to [N, O, H/2, W/2]."""
    taps = _fold_taps(weight, kernel.flip(0, 1))
    return F.conv2d(x, taps.to(x.dtype), stride=2, padding=2)


def _fold_taps(weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """[O, I, 6, 6], each filter correlated with the kernel."""
    filters = weight.float().flatten(0, 1)[:, None]
    taps = F.conv2d(filters, kernel.float()[None, None], padding=3)
    return taps.view(*weight.shape[:2], 6, 6)
