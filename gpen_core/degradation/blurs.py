"""Blurs: Gaussians at any angle, motion, the ringing of an ideal low-pass, and their use."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..devices import to_device

MOST_TAPS = 21
"""Above, the Fourier transform is faster: 40 times for 73 taps on 1000 × 1000 px on a CPU, while 19
taps on sixteen faces of 256 px take a third of its time. On CUDA it always is."""


LEAST_SIGMA = 1e-3  # px; a Gaussian that leaves one pixel


def blurs(
    sigmas: torch.Tensor, angles: torch.Tensor, moving: torch.Tensor, taps: int
) -> torch.Tensor:
    """Return one kernel per image.

    Args:
        sigmas: [B, 2], px along and across; 0 does not blur.
        angles: [B], radians.
        moving: [B] bool; these are straight lines of 4 σ (along) instead of Gaussians.
        taps: side of the kernels, odd.

    Returns:
        [B, taps, taps] of sum 1, where the draws are; each ends at its own 3 σ, whatever `taps`.
    """
    y, x = _grid(taps, sigmas.device)
    reach = (3 * sigmas.amax(dim=1)).ceil()[:, None, None]
    sigmas = sigmas.clamp(min=LEAST_SIGMA)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = cos * x + sin * y, cos * y - sin * x  # [B, taps, taps]
    sigma_along, sigma_across = sigmas[:, 0, None, None], sigmas[:, 1, None, None]
    gaussian = torch.exp(-0.5 * ((along / sigma_along) ** 2 + (across / sigma_across) ** 2))
    # A line one pixel wide, its edges softened over a pixel.
    line = (2 * sigma_along + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    kernels = torch.where(moving[:, None, None], line, gaussian)
    kernels = kernels * (torch.maximum(y.abs(), x.abs()) <= reach)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def sincs(cutoffs: torch.Tensor, taps: int) -> torch.Tensor:
    """[B, taps, taps] kernels that pass frequencies up to `cutoffs` [B] (radians per px) and ring.

    The two-dimensional sinc of Real-ESRGAN, arXiv 2107.10833, eq. 6.
    """
    y, x = _grid(taps, cutoffs.device)
    radius = (x**2 + y**2).sqrt()
    cutoffs = cutoffs[:, None, None]
    away = cutoffs * torch.special.bessel_j1(cutoffs * radius) / (2 * math.pi * radius)
    kernels = torch.where(radius == 0, cutoffs**2 / (4 * math.pi), away)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def convolve(pixels: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] each filtered with its own kernel, [B, k, k]; the border is repeated."""
    taps = kernels.shape[-1]
    kernels = to_device(kernels.to(pixels.dtype), pixels.device)
    if taps <= MOST_TAPS and pixels.device.type != "cuda":
        import kornia

        return kornia.filters.filter2d(pixels, kernels, border_type="replicate")
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, [taps // 2] * 4, mode="replicate")
    size = [-(-side // 32) * 32 for side in padded.shape[2:]]  # few large prime factors
    # A filter is the convolution with the kernel turned round.
    spectrum = torch.fft.rfft2(padded, size)
    spectrum = spectrum * torch.fft.rfft2(kernels.flip(1, 2), size)[:, None]
    filtered = torch.fft.irfft2(spectrum, size)
    return filtered[..., taps - 1 : taps - 1 + height, taps - 1 : taps - 1 + width]


def _grid(taps: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    axis = torch.arange(taps, dtype=torch.float64, device=device) - taps // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
