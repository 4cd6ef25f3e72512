"""Damages of images [B, 3, H, W] in [0, 1], the same for all measurements of fidelity."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from gpen_core.degradation.jpeg import compress
from gpen_core.warp import resize


def add_noise(image: torch.Tensor, sigma: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(image.shape, generator=generator) * sigma / 255
    return (image + noise).clamp(0, 1)


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = round(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None, None].expand(3, 1, 1, -1)
    padded = F.pad(image, [reach] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)


def shrink(image: torch.Tensor, factor: int) -> torch.Tensor:
    height, width = image.shape[2:]
    small = resize(image, height // factor, width // factor)
    return resize(small, height, width).clamp(0, 1)


DAMAGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "noise 12": lambda image: add_noise(image, 12),
    "noise 18, JPEG 40": lambda image: compress(add_noise(image, 18), torch.tensor([40.0])),
    "JPEG 20": lambda image: compress(image, torch.tensor([20.0])),
    "blur 3": lambda image: blur(image, 3),
    "quarter size": lambda image: shrink(image, 4),
}
