"""Makes faces blurred, small, noisy and compressed, at random but reproducibly.

The model of the GPEN paper (arXiv 2105.06070, eq. 5): blur, shrink, noise, JPEG, enlarge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import kornia
import numpy as np
import torch
import torch.nn.functional as F

BLUR_TAPS = 19  # ± 3 σ at the largest default σ
REFERENCE_SIZE = 256  # blur is stated for faces of this side


@dataclass(frozen=True)
class Degradation:
    """How hard `degrade` may hit; each value is (least, most), drawn anew for every image.

    Attributes:
        blur_sigma: σ of an anisotropic Gaussian, px of a 256 px face; uniform per axis.
        motion: probability that a straight motion blur is used instead, as long as 4 σ.
        scale: shrink factor; log-uniform.
        noise_sigma: σ of the Gaussian noise on the small image, levels of 255; uniform.
        gray_noise: probability that the noise is the same in R, G and B.
        jpeg_quality: uniform.
    """

    blur_sigma: tuple[float, float] = (0.2, 3.0)
    motion: float = 0.2
    scale: tuple[float, float] = (1.0, 8.0)
    noise_sigma: tuple[float, float] = (0.0, 15.0)
    gray_noise: float = 0.4
    jpeg_quality: tuple[int, int] = (40, 95)


DEFAULT = Degradation()


def degrade(images: torch.Tensor, *, seed: int, degradation: Degradation = DEFAULT) -> torch.Tensor:
    """Return degraded copies of faces.

    Args:
        images: [B, 3, S, S] RGB in [0, 1].
        seed: the same seed, images and degradation give the same result.
        degradation: the ranges to draw from.

    Returns:
        [B, 3, S, S] RGB in [0, 1], on the images' device.
    """
    draw = torch.Generator().manual_seed(seed)
    kernels = _blur_kernels(len(images), images.shape[-1], draw, degradation).to(images)
    blurred = kornia.filters.filter2d(images, kernels, border_type="reflect")
    degraded = [_shrink_and_compress(image, draw, degradation) for image in blurred]
    return torch.stack(degraded)


def _blur_kernels(
    count: int, size: int, draw: torch.Generator, degradation: Degradation
) -> torch.Tensor:
    """[count, k, k] kernels of sum 1: Gaussians at any angle, some of them motion blurs."""
    low, high = (sigma * size / REFERENCE_SIZE for sigma in degradation.blur_sigma)
    sigmas = low + (high - low) * torch.rand(count, 2, generator=draw)
    angles = math.pi * torch.rand(count, generator=draw)
    moving = torch.rand(count, generator=draw) < degradation.motion
    taps = max(3, int(BLUR_TAPS * size / REFERENCE_SIZE) | 1)
    axis = torch.arange(taps) - taps // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = cos * x + sin * y, cos * y - sin * x  # [count, k, k]
    sigma_along, sigma_across = sigmas[:, 0, None, None], sigmas[:, 1, None, None]
    gaussian = torch.exp(-0.5 * ((along / sigma_along) ** 2 + (across / sigma_across) ** 2))
    # A line 4 σ long and one pixel wide, its edges softened over a pixel.
    line = (2 * sigma_along + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    kernels = torch.where(moving[:, None, None], line, gaussian)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _shrink_and_compress(
    image: torch.Tensor, draw: torch.Generator, degradation: Degradation
) -> torch.Tensor:
    """Shrink one image [3, S, S], add noise, pass it through JPEG, and enlarge it again."""
    size = image.shape[-1]
    scale_u, noise_u, gray_u, quality_u = torch.rand(4, generator=draw).tolist()
    low, high = degradation.scale
    small_size = max(8, round(size / (low * (high / low) ** scale_u)))
    small = F.interpolate(
        image[None], size=(small_size, small_size), mode="bicubic", antialias=True
    )
    low, high = degradation.noise_sigma
    channels = 1 if gray_u < degradation.gray_noise else 3
    noise = torch.randn(1, channels, small_size, small_size, generator=draw).to(image)
    small = small + noise * ((low + (high - low) * noise_u) / 255)
    low, high = degradation.jpeg_quality
    small = _jpeg(small[0], round(low + (high - low) * quality_u))
    enlarged = F.interpolate(small[None], size=(size, size), mode="bicubic")
    return enlarged[0].clamp(0, 1)


def _jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    # Measured on a CPU: OpenCV takes 0.3 ms for 64 px, kornia's batched codec 6 times as long.
    levels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    _, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(levels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[:, :, ::-1]
    return torch.from_numpy(decoded.copy()).to(image.device).permute(2, 0, 1).to(image.dtype) / 255
