"""Blur kernels: Gaussians at any angle, motion blurs, and the ringing of an ideal low-pass."""

from __future__ import annotations

import math

import torch


def blurs(
    sigmas: torch.Tensor, angles: torch.Tensor, moving: torch.Tensor, taps: int
) -> torch.Tensor:
    """Return one kernel per image.

    Args:
        sigmas: [B, 2], px along and across.
        angles: [B], radians.
        moving: [B] bool; these are straight lines of 4 σ (along) instead of Gaussians.
        taps: side of the kernels, odd.

    Returns:
        [B, taps, taps] of sum 1.
    """
    y, x = _grid(taps)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = cos * x + sin * y, cos * y - sin * x  # [B, taps, taps]
    sigma_along, sigma_across = sigmas[:, 0, None, None], sigmas[:, 1, None, None]
    gaussian = torch.exp(-0.5 * ((along / sigma_along) ** 2 + (across / sigma_across) ** 2))
    # A line one pixel wide, its edges softened over a pixel.
    line = (2 * sigma_along + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    kernels = torch.where(moving[:, None, None], line, gaussian)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def sincs(cutoffs: torch.Tensor, taps: int) -> torch.Tensor:
    """[B, taps, taps] kernels that pass frequencies up to `cutoffs` [B] (radians per px) and ring.

    The two-dimensional sinc of Real-ESRGAN, arXiv 2107.10833, eq. 6.
    """
    y, x = _grid(taps)
    radius = (x**2 + y**2).sqrt()
    cutoffs = cutoffs[:, None, None]
    away = cutoffs * torch.special.bessel_j1(cutoffs * radius) / (2 * math.pi * radius)
    kernels = torch.where(radius == 0, cutoffs**2 / (4 * math.pi), away)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _grid(taps: int) -> tuple[torch.Tensor, torch.Tensor]:
    axis = torch.arange(taps, dtype=torch.float64) - taps // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
