"""Measures of a restored face: PSNR, SSIM, sharpness, noise, colour drift, skin lightness."""

from __future__ import annotations

import math

import kornia
import torch
import torch.nn.functional as F

from ..sharpen import luma

SSIM_WINDOW = 11  # px; Wang et al. 2004
OVAL = (150 / 256, 0.5, 82 / 256, 62 / 256)  # centre y, x, half height, half width: brow to chin
BLOCKS = 32  # noise is measured in blocks; a face is this many blocks wide
INNER_FACE = (0.32, 0.70, 0.36, 0.64)  # top, bottom, left, right: skin without background
SMOOTHEST = 0.25  # share of the inner face's blocks that count as flat skin
CHEEKS = ((0.56, 0.66, 0.34, 0.42), (0.56, 0.66, 0.58, 0.66))  # in the template, below the eyes
MIN_CHROMA = 3.0  # CIELAB; a photograph with less counts as grey


def psnr(
    output: torch.Tensor, target: torch.Tensor, where: torch.Tensor | None = None
) -> torch.Tensor:
    """Return peak signal-to-noise ratios [N] in dB.

    Args:
        output: [N, 3, S, S] in [0, 1].
        target: the same, to compare with.
        where: [S, S] bool, the pixels that count; None counts all.
    """
    error = (output - target).square().mean(dim=1)
    error = error.flatten(1) if where is None else error[:, where]
    return -10 * error.mean(dim=1).clamp_min(1e-12).log10()


def ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return mean structural similarities [N] of images [N, 3, S, S] in [0, 1]."""
    return kornia.metrics.ssim(output, target, SSIM_WINDOW).mean(dim=(1, 2, 3))


def sharpness(images: torch.Tensor) -> torch.Tensor:
    """Return the mean gradient of the luma per pixel, [N], of images [N, 3, S, S] in [0, 1]."""
    light = luma(images)
    across = light[..., :-1, 1:] - light[..., :-1, :-1]
    down = light[..., 1:, :-1] - light[..., :-1, :-1]
    return (across**2 + down**2).sqrt().mean(dim=(1, 2, 3))


def colour_drift(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean of output − target in R, G and B, [N, 3] in levels of 255."""
    return 255 * (output - target).mean(dim=(2, 3))


def make_face_oval(size: int) -> torch.Tensor:
    """Return the oval from brow to chin of faces aligned to "ffhq", [size, size] bool.

    It leaves out hair, clothes and background, three quarters of an aligned face. Faces aligned to
    "gpen" are an eighth smaller, so that the oval takes in some of their hair and neck.
    """
    top, left, height, width = (size * share for share in OVAL)
    at = torch.arange(size) + 0.5
    return ((at[:, None] - top) / height) ** 2 + ((at - left) / width) ** 2 < 1


def find_flat_skin(clean: torch.Tensor) -> torch.Tensor:
    """Return the smoothest quarter of the blocks inside each face, [N, BLOCKS, BLOCKS] bool.

    Args:
        clean: [N, 3, S, S] RGB in [0, 1].
    """
    roughness = _measure_block_noise(clean)
    top, bottom, left, right = (round(side * BLOCKS) for side in INNER_FACE)
    inner = torch.full_like(roughness, torch.inf)
    inner[:, top:bottom, left:right] = roughness[:, top:bottom, left:right]
    count = round(SMOOTHEST * (bottom - top) * (right - left))
    return inner <= inner.flatten(1).kthvalue(count).values[:, None, None]


def noise(images: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the luma's high frequencies in the blocks `flat`, [N].

    It is in levels of 255 and comparable to the σ of white noise in the luma.

    Args:
        images: [N, 3, S, S] RGB in [0, 1].
        flat: [N, BLOCKS, BLOCKS] bool, from `find_flat_skin`.
    """
    variance = _measure_block_noise(images) ** 2
    return 255 * ((variance * flat).sum(dim=(1, 2)) / flat.sum(dim=(1, 2))).sqrt()


def skin_lightness(crops: torch.Tensor) -> torch.Tensor:
    """Return the individual typology angle of the cheeks, [N] in degrees; NaN for grey images.

    ITA° = atan((L* − 50) / b*) · 180 / π (Chardon et al. 1991), of the median colour of the cheeks.
    Light skin has a high angle. It measures a photograph with its light and exposure, and says
    nothing about a person's origin.

    Args:
        crops: [N, 3, S, S] RGB in [0, 1], aligned to the template "ffhq" or "gpen".
    """
    size = crops.shape[-1]
    boxes = [[round(side * size) for side in box] for box in CHEEKS]
    skin = torch.cat(
        [crops[:, :, top:bottom, left:right].flatten(2) for top, bottom, left, right in boxes], 2
    )
    median = skin.median(dim=2).values[:, :, None, None]
    lightness, a, b = kornia.color.rgb_to_lab(median)[:, :, 0, 0].unbind(dim=1)
    angle = torch.atan2(lightness - 50, b.clamp(min=1e-3)) * (180 / math.pi)
    return torch.where((a**2 + b**2).sqrt() < MIN_CHROMA, math.nan, angle)


def name_skin_lightness(angle: float) -> str:
    """Name the band in which an angle of `skin_lightness` lies."""
    if math.isnan(angle):
        return "no colour"
    # The bands of Del Bino and Bernerd 2013. The lower five are merged, two and three of them,
    # because each has few faces.
    if angle > 55:
        return "ITA > 55°"
    return "ITA 28° to 55°" if angle > 28 else "ITA ≤ 28°"


def _measure_block_noise(images: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the luma around its local mean, [N, BLOCKS, BLOCKS].

    The local mean is taken over a box about as wide as a block. So noise that enlarging has spread
    over several pixels counts too, and shading does not.
    """
    light = luma(images)
    reach = light.shape[-1] // (2 * BLOCKS)
    padded = F.pad(light, [reach] * 4, mode="replicate")
    high = light - F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    return F.adaptive_avg_pool2d(high**2, BLOCKS)[:, 0].sqrt()
