"""What a restored face is measured by, besides PSNR and SSIM."""

from __future__ import annotations

import math

import kornia
import torch
import torch.nn.functional as F

from ..sharpen import luma

BLOCKS = 32  # a face is this many blocks across where its noise is measured
INNER_FACE = (0.32, 0.70, 0.36, 0.64)  # top, bottom, left, right: skin, whatever the background
SMOOTHEST = 0.25  # share of the inner face's blocks that count as flat skin
OVAL = (150 / 256, 0.5, 82 / 256, 62 / 256)  # centre y, x, half height, half width: brow to chin
CHEEKS = ((0.56, 0.66, 0.34, 0.42), (0.56, 0.66, 0.58, 0.66))  # of the template: below the eyes
LEAST_CHROMA = 3.0  # CIELAB; below it a photograph has no colour to speak of


def sharpness(images: torch.Tensor) -> torch.Tensor:
    """[N] mean gradient magnitude of the luma, per pixel, of [N, 3, S, S] in [0, 1]."""
    light = luma(images)
    across = light[..., :-1, 1:] - light[..., :-1, :-1]
    down = light[..., 1:, :-1] - light[..., :-1, :-1]
    return (across**2 + down**2).sqrt().mean(dim=(1, 2, 3))


def colour_drift(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N, 3] mean of output − target in R, G and B, levels of 255."""
    return 255 * (output - target).mean(dim=(2, 3))


def face_oval(size: int) -> torch.Tensor:
    """[size, size] bool: the oval from brow to chin of faces aligned to the template "ffhq".

    Without hair, clothes and background, which take up three quarters of an aligned face. Of faces
    aligned to "gpen", an eighth smaller, some hair and neck lies in it, too.
    """
    top, left, height, width = (size * share for share in OVAL)
    at = torch.arange(size) + 0.5
    return ((at[:, None] - top) / height) ** 2 + ((at - left) / width) ** 2 < 1


def flat_skin(faces: torch.Tensor) -> torch.Tensor:
    """[N, BLOCKS, BLOCKS] bool: the smoothest quarter of the blocks inside the clean faces."""
    roughness = _block_noise(faces)
    top, bottom, left, right = (round(side * BLOCKS) for side in INNER_FACE)
    inner = torch.full_like(roughness, torch.inf)
    inner[:, top:bottom, left:right] = roughness[:, top:bottom, left:right]
    count = round(SMOOTHEST * (bottom - top) * (right - left))
    return inner <= inner.flatten(1).kthvalue(count).values[:, None, None]


def noise(images: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """[N] noise in the blocks `flat`: standard deviation of the luma's high frequencies.

    In levels of 255, comparable to the σ of white noise in the luma.
    """
    return 255 * ((_block_noise(images) ** 2 * flat).sum(dim=(1, 2)) / flat.sum(dim=(1, 2))).sqrt()


def skin_lightness(faces: torch.Tensor) -> torch.Tensor:
    """[N] individual typology angle of the cheeks in degrees: light skin is high; NaN in grey.

    ITA° = atan((L* − 50) / b*) · 180 / π (Chardon et al. 1991), of the cheeks' median colour. It
    measures a photograph, with its light and exposure, and says nothing of a person's origin.

    Args:
        faces: [N, 3, S, S] RGB in [0, 1], aligned to the template "ffhq" or "gpen".
    """
    size = faces.shape[-1]
    boxes = [[round(side * size) for side in box] for box in CHEEKS]
    skin = torch.cat(
        [faces[:, :, top:bottom, left:right].flatten(2) for top, bottom, left, right in boxes], 2
    )
    median = skin.median(dim=2).values[:, :, None, None]
    lightness, a, b = kornia.color.rgb_to_lab(median)[:, :, 0, 0].unbind(dim=1)
    angle = torch.atan2(lightness - 50, b.clamp(min=1e-3)) * (180 / math.pi)
    return torch.where((a**2 + b**2).sqrt() < LEAST_CHROMA, math.nan, angle)


def _block_noise(images: torch.Tensor) -> torch.Tensor:
    """[N, BLOCKS, BLOCKS] standard deviation of the luma around its mean in a block's reach.

    The reach is a block's side, so that noise which enlarging spread over pixels counts too, and
    shading does not.
    """
    light = luma(images)
    reach = light.shape[-1] // (2 * BLOCKS)
    padded = F.pad(light, [reach] * 4, mode="replicate")
    high = light - F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    return F.adaptive_avg_pool2d(high**2, BLOCKS)[:, 0].sqrt()


SSIM_WINDOW = 11  # Wang et al. 2004


def psnr(
    output: torch.Tensor, target: torch.Tensor, where: torch.Tensor | None = None
) -> torch.Tensor:
    """[N] peak signal-to-noise ratios in dB of [N, 3, S, S] in [0, 1].

    Args:
        output: to compare with `target`.
        target: what it should be.
        where: [S, S] bool, the pixels that count; None counts all.
    """
    error = (output - target).square().mean(dim=1)
    error = error.flatten(1) if where is None else error[:, where]
    return -10 * error.mean(dim=1).clamp_min(1e-12).log10()


def ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N] mean structural similarities of [N, 3, S, S] in [0, 1]."""
    return kornia.metrics.ssim(output, target, SSIM_WINDOW).mean(dim=(1, 2, 3))
