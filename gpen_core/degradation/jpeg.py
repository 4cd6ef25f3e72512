"""What JPEG does to pixels, for a batch on its own device, without the files.

ITU-T T.81 as libjpeg sets it up: 4:2:0, the tables of annex K scaled by quality, smooth chroma.
Lossless entropy coding is left out, since it changes no pixel.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

from ..devices import to_device

BLOCK = 8
MCU = 2 * BLOCK  # px of luma that share one block of each chroma plane

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
    """Return `images` as they come back from JPEG files.

    Args:
        images: [B, 3, H, W] RGB in [0, 1]; sides no multiple of 16 are padded as in a file.
        quality: [B] on the CPU, 1 to 100, as libjpeg counts it.

    Returns:
        [B, 3, H, W] RGB in [0, 1], in whole levels of 255.
    """
    height, width = images.shape[2:]
    levels = (images.clamp(0, 1) * 255).round()
    padded = F.pad(levels, (0, -width % MCU, 0, -height % MCU), mode="replicate")
    to_ycc = torch.tensor(TO_YCC, dtype=images.dtype, device="cpu")
    to_rgb = to_device(to_ycc.inverse(), images.device)
    transform = to_device(_cosine_transform().to(images.dtype), images.device)
    steps = _steps(quality.to(images.dtype))
    luma_steps, chroma_steps = to_device(steps, images.device)
    ycc = torch.einsum("ij,bjhw->bihw", to_device(to_ycc, images.device), padded)
    luma = _quantize(ycc[:, :1] - 128, luma_steps, transform) + 128
    chroma = _quantize(F.avg_pool2d(ycc[:, 1:], 2), chroma_steps, transform)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear")
    rgb = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma, chroma], dim=1))
    return rgb[..., :height, :width].round().clamp(0, 255) / 255


def _steps(quality: torch.Tensor) -> torch.Tensor:
    """[2, B, 1, 64] steps of luma and chroma; libjpeg's rule of scaling a table by quality."""
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    tables = quality.new_tensor((LUMA_STEPS, CHROMA_STEPS))[:, None, None]
    scaled = (tables * percent.floor() + 50) / 100
    return scaled.floor().clamp(1, 255)


def _quantize(planes: torch.Tensor, steps: torch.Tensor, transform: torch.Tensor) -> torch.Tensor:
    """Round the cosine transform of every block of [B, C, H, W] to `steps` [B, 1, 64]."""
    b, c, h, w = planes.shape
    blocks = planes.reshape(b, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK).transpose(3, 4)
    coefficients = blocks.reshape(b, -1, BLOCK * BLOCK) @ transform.T
    coefficients = (coefficients / steps).round_() * steps
    blocks = (coefficients @ transform).view(b, c, h // BLOCK, w // BLOCK, BLOCK, BLOCK)
    return blocks.transpose(3, 4).reshape(b, c, h, w)


@cache
def _cosine_transform() -> torch.Tensor:
    """[64, 64] float64: the orthonormal cosine transform of a flattened 8 × 8 block."""
    position = torch.arange(BLOCK, dtype=torch.float64, device="cpu")
    cosines = torch.cos(math.pi / BLOCK * (position + 0.5) * position[:, None]) / 2  # [k, x]
    cosines[0] /= math.sqrt(2)
    return torch.kron(cosines, cosines)
