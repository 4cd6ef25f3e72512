"""JPEG compression of a batch of images on its device, without files.

ITU-T T.81 with libjpeg's defaults: 4:2:0, the tables of annex K scaled by quality, chroma
interpolated between its samples. Entropy coding is lossless and left out.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

from ..devices import to_device

BLOCK = 8
MCU = 2 * BLOCK  # px; a block of each chroma plane covers 16 × 16 px of luma

# Annex K, tables K.1 and K.2, row by row.
LUMA_STEPS = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
# ITU-T T.871 (JFIF): rows Y, Cb, Cr.
TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def compress(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Return `images` as if saved as JPEG files and read again.

    Args:
        images: [B, 3, H, W] RGB in [0, 1]. Sides that are no multiple of 16 are padded as in a
            file.
        quality: [B] on the CPU, libjpeg's scale of 1 to 100.

    Returns:
        [B, 3, H, W] RGB in [0, 1], in whole levels of 255.
    """
    height, width = images.shape[2:]
    levels = (images.clamp(0, 1) * 255).round()
    padded = F.pad(levels, (0, -width % MCU, 0, -height % MCU), mode="replicate")
    to_ycc = torch.tensor(TO_YCC, dtype=images.dtype, device="cpu")
    to_rgb = to_device(to_ycc.inverse(), images.device)
    transform = to_device(_make_cosine_transform().to(images.dtype), images.device)
    steps = _scale_tables(quality.to(images.dtype))
    luma_steps, chroma_steps = to_device(steps, images.device)
    ycc = torch.einsum("ij,bjhw->bihw", to_device(to_ycc, images.device), padded)
    luma = _quantize(ycc[:, :1] - 128, luma_steps, transform) + 128
    chroma = _quantize(F.avg_pool2d(ycc[:, 1:], 2), chroma_steps, transform)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear")
    rgb = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma, chroma], dim=1))
    return rgb[..., :height, :width].round().clamp(0, 255) / 255


def _scale_tables(quality: torch.Tensor) -> torch.Tensor:
    """Return the quantization steps of luma and chroma, [2, B, 1, 64], by libjpeg's rule."""
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    tables = quality.new_tensor((LUMA_STEPS, CHROMA_STEPS))[:, None, None]
    scaled = (tables * percent.floor() + 50) / 100
    return scaled.floor().clamp(1, 255)


def _quantize(planes: torch.Tensor, steps: torch.Tensor, transform: torch.Tensor) -> torch.Tensor:
    """Round the cosine transform of every block of [B, C, H, W] to multiples of `steps`.

    Args:
        planes: [B, C, H, W], H and W multiples of 8.
        steps: [B, 1, 64].
        transform: [64, 64] from `_make_cosine_transform`.
    """
    b, c, h, w = planes.shape
    blocks = planes.reshape(b, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK).transpose(3, 4)
    coefficients = blocks.reshape(b, -1, BLOCK * BLOCK) @ transform.T
    coefficients = (coefficients / steps).round_() * steps
    blocks = (coefficients @ transform).view(b, c, h // BLOCK, w // BLOCK, BLOCK, BLOCK)
    return blocks.transpose(3, 4).reshape(b, c, h, w)


@cache
def _make_cosine_transform() -> torch.Tensor:
    """Return the orthonormal cosine transform of a flattened 8 × 8 block, [64, 64] float64."""
    position = torch.arange(BLOCK, dtype=torch.float64, device="cpu")
    cosines = torch.cos(math.pi / BLOCK * (position + 0.5) * position[:, None]) / 2  # [k, x]
    cosines[0] /= math.sqrt(2)
    return torch.kron(cosines, cosines)
