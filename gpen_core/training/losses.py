"""What training minimises, and the figures it is measured by."""

from __future__ import annotations

import kornia
import torch
import torch.nn.functional as F

SSIM_WINDOW = 11  # Wang et al. 2004
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, *, ssim_weight: float
) -> torch.Tensor:
    """Mean absolute difference plus `ssim_weight` × (1 − SSIM); both [N, 3, S, S] in [0, 1]."""
    loss = (output - target).abs().mean()
    if ssim_weight:
        loss = loss + ssim_weight * (1 - _luma_ssim(output, target))
    return loss


def _luma_ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean SSIM of the luma in 7 px boxes.

    `kornia.losses.ssim_loss` with its Gaussian windows on R, G and B took 40 % of a training step
    on a CPU; this is too little to notice.
    """
    luma = torch.tensor(LUMA, device=output.device).view(1, 3, 1, 1)
    x, y = (output * luma).sum(1, keepdim=True), (target * luma).sum(1, keepdim=True)
    means = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y], dim=1), 7, stride=1)
    mean_x, mean_y, xx, yy, xy = means.split(1, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (variances + c2)
    return (luminance * structure).mean()


def psnr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N] peak signal-to-noise ratios in dB of [N, 3, S, S] in [0, 1]."""
    return -10 * (output - target).square().mean(dim=(1, 2, 3)).clamp_min(1e-12).log10()


def ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N] mean structural similarities of [N, 3, S, S] in [0, 1]."""
    return kornia.metrics.ssim(output, target, SSIM_WINDOW).mean(dim=(1, 2, 3))
