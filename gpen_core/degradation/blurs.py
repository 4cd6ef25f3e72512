"""Blur kernels (Gaussian, motion, sinc), one per image, and the convolution with them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..devices import to_device

MAX_DIRECT_TAPS = 21
"""Side of the largest kernel that a CPU applies directly; larger ones go through the FFT.

For 73 taps on 1000 × 1000 px the FFT is 40 times as fast; for 19 taps on sixteen faces of 256 px
it takes three times as long. CUDA always takes the FFT, which is faster there at any size."""

MIN_SIGMA = 1e-3  # px; a Gaussian this narrow is one pixel wide


def make_blur_kernels(
    sigmas: torch.Tensor, angles: torch.Tensor, moving: torch.Tensor, taps: int
) -> torch.Tensor:
    """Return one Gaussian or motion blur kernel per image.

    Args:
        sigmas: [B, 2], px along and across the angle; 0 does not blur.
        angles: [B], radians.
        moving: [B] bool; true makes a straight line 4 σ (along) long instead of a Gaussian.
        taps: side of the kernels, odd.

    Returns:
        [B, taps, taps], each of sum 1, on the device of `sigmas`. A kernel is zero beyond 3 σ of
        its image, so that its values do not depend on `taps`.
    """
    y, x = _make_grid(taps, sigmas.device)
    reach = (3 * sigmas.amax(dim=1)).ceil()[:, None, None]
    sigmas = sigmas.clamp(min=MIN_SIGMA)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = cos * x + sin * y, cos * y - sin * x  # [B, taps, taps]
    sigma_along, sigma_across = sigmas[:, 0, None, None], sigmas[:, 1, None, None]
    gaussian = torch.exp(-0.5 * ((along / sigma_along) ** 2 + (across / sigma_across) ** 2))
    # A line one pixel wide, its edges softened over a pixel.
    line = (2 * sigma_along + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    kernels = torch.where(moving[:, None, None], line, gaussian)
    kernels = kernels * (torch.maximum(y.abs(), x.abs()) <= reach)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def make_sinc_kernels(cutoffs: torch.Tensor, taps: int) -> torch.Tensor:
    """Return ideal low-pass kernels, which ring beside edges.

    The two-dimensional sinc of Real-ESRGAN, arXiv 2107.10833, eq. 6.

    Args:
        cutoffs: [B], radians per px; lower frequencies pass.
        taps: side of the kernels, odd.

    Returns:
        [B, taps, taps], each of sum 1.
    """
    y, x = _make_grid(taps, cutoffs.device)
    radius = (x**2 + y**2).sqrt()
    cutoffs = cutoffs[:, None, None]
    off_centre = cutoffs * torch.special.bessel_j1(cutoffs * radius) / (2 * math.pi * radius)
    kernels = torch.where(radius == 0, cutoffs**2 / (4 * math.pi), off_centre)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def convolve(pixels: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Filter each image with its kernel; border pixels are repeated outwards.

    Args:
        pixels: [B, C, H, W].
        kernels: [B, k, k], k odd.
    """
    taps = kernels.shape[-1]
    kernels = to_device(kernels.to(pixels.dtype), pixels.device)
    if taps <= MAX_DIRECT_TAPS and pixels.device.type != "cuda":
        import kornia

        return kornia.filters.filter2d(pixels, kernels, border_type="replicate")
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, [taps // 2] * 4, mode="replicate")
    size = [-(-side // 32) * 32 for side in padded.shape[2:]]  # few large prime factors
    # `filter2d` correlates; a product of spectra convolves, hence the flip.
    spectrum = torch.fft.rfft2(padded, size)
    spectrum = spectrum * torch.fft.rfft2(kernels.flip(1, 2), size)[:, None]
    filtered = torch.fft.irfft2(spectrum, size)
    return filtered[..., taps - 1 : taps - 1 + height, taps - 1 : taps - 1 + width]


def _make_grid(taps: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return y and x of every tap from the middle one, [taps, taps] float64 each."""
    axis = torch.arange(taps, dtype=torch.float64, device=device) - taps // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
