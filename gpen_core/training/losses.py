"""What training minimises, and the figures it is measured by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import kornia
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Collection

SHARPNESS_BOX = 8
UNSHARP_SIGMA = 0.7  # pixels; of 0.7 and 1, on luma and on RGB, this cost the least PSNR
UNSHARP_REACH = 3  # pixels, over 4 σ
UNSHARP_LIMIT = 8 / 255  # of [0, 1], the most that a pixel changes by
LIMIT_BOX = 17  # pixels
SSIM_WINDOW = 11  # Wang et al. 2004
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def reconstruction_losses(
    output: torch.Tensor, target: torch.Tensor, clean: torch.Tensor, names: Collection[str]
) -> dict[str, torch.Tensor]:
    """Those of "l1", "ssim" and "sharpness" that are in `names`.

    Args:
        output: [N, 3, S, S] RGB, clean where it lies in [0, 1].
        target: the same in [0, 1], for L1 and SSIM: the clean faces, or what `unsharp_mask` made
            of them.
        clean: the same, for sharpness.
        names: which to compute; others are ignored.
    """
    losses = {}
    if "l1" in names:
        losses["l1"] = (output - target).abs().mean()
    if "ssim" in names or "sharpness" in names:
        output = _luma(output)
    if "ssim" in names:
        losses["ssim"] = 1 - _box_ssim(output, _luma(target))
    if "sharpness" in names:
        losses["sharpness"] = sharpness(output, _luma(clean))
    return losses


def unsharp_mask(faces: torch.Tensor, amount: float) -> torch.Tensor:
    """Faces [N, 3, S, S] in [0, 1] and `amount` times the luma's detail finer than σ = 0.7 px.

    The same is added to R, G and B, so that colours and the noise in them stay as they are.

    L1 and SSIM choose the middle of all faces that a degraded one may have been, which is softer
    than any of them. Targets made sharper by as much make up for it (Wang et al. 2021, Real-ESRGAN,
    arXiv 2107.10833). No pixel changes by more than 8 levels: no halos beside strong edges, which
    cost most PSNR and add least to what looks sharp.
    """
    if not amount:
        return faces
    luma = _luma(faces)
    detail = amount * (luma - _blurred(luma))
    return (faces + UNSHARP_LIMIT * torch.tanh(detail / UNSHARP_LIMIT)).clamp_(0, 1)


def _blurred(luma: torch.Tensor) -> torch.Tensor:
    """[N, 1, H, W] under the unsharp mask's Gaussian, mirrored at the border."""
    # Weights are numbers of Python: a tensor of them would have to reach the device first.
    reach = range(-UNSHARP_REACH, UNSHARP_REACH + 1)
    weights = [math.exp(-0.5 * (at / UNSHARP_SIGMA) ** 2) for at in reach]
    luma = F.pad(luma, [UNSHARP_REACH] * 4, mode="reflect")
    for axis in (2, 3):
        windows = luma.unfold(axis, len(weights), 1).unbind(-1)
        pairs = zip(weights, windows, strict=True)
        luma = torch.stack([weight / sum(weights) * window for weight, window in pairs]).sum(0)
    return luma


def sharpen_towards(
    faces: torch.Tensor, clean: torch.Tensor, amount: float, *, limit: float = 1
) -> torch.Tensor:
    """`unsharp_mask` of restored faces, but nowhere sharper than the clean ones.

    In boxes of 17 px around each pixel the mean gradient is brought up to the clean face's and no
    further: what is sharp already stays, and so does grain on skin that is smooth.

    Args:
        faces: [N, 3, S, S] RGB in [0, 1].
        clean: what they should have been.
        amount: of the unsharp mask where the clean faces allow all of it.
        limit: times the clean faces' gradient that is allowed; a network that learns from the
            result falls short of it.
    """
    if not amount:
        return faces
    sharpened = unsharp_mask(faces, amount)
    least, most, wanted = (_sharpness_map(x) for x in (faces, sharpened, clean))
    share = ((limit * wanted - least) / (most - least).clamp_min(1e-6)).clamp(0, 1)
    return torch.lerp(faces, sharpened, share)


def _sharpness_map(faces: torch.Tensor) -> torch.Tensor:
    """Mean gradient in the box around every pixel, [N, 1, S, S]."""
    half = LIMIT_BOX // 2
    # One more to the right and below, where differences leave out a row and a column.
    edges = (half, half + 1, half, half + 1)
    return _box_mean(F.pad(_gradient(_luma(faces)), edges, mode="replicate"), LIMIT_BOX, stride=1)


def sharpness(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean difference of how sharp two images are, box by box.

    Each box of 8 px is as sharp as its mean gradient; where in the box an edge lies does not
    count, so that detail need not be guessed to the pixel, as L1 and SSIM would have it.

    Args:
        output: [N, 1, H, W], luma.
        target: the same.
    """
    x, y = (_box_mean(_gradient(luma), SHARPNESS_BOX, stride=4) for luma in (output, target))
    return (x - y).abs().mean()


def _gradient(luma: torch.Tensor) -> torch.Tensor:
    """|∇| per pixel of [N, 1, H, W], by differences to the right and below."""
    across = luma[:, :, :-1, 1:] - luma[:, :, :-1, :-1]
    down = luma[:, :, 1:, :-1] - luma[:, :, :-1, :-1]
    return (across.square() + down.square() + 1e-8).sqrt()


def _luma(image: torch.Tensor) -> torch.Tensor:
    red, green, blue = (weight * image[:, i : i + 1] for i, weight in enumerate(LUMA))
    return red + green + blue


def _box_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean SSIM of [N, 1, H, W] in 7 px boxes.

    `kornia.losses.ssim_loss` with its Gaussian windows on R, G and B took 40 % of a training step
    on a CPU; this takes 10 %, or 4 % compiled.
    """
    means = _box_mean(torch.cat([x, y, x * x, y * y, x * y], dim=1), 7, stride=1)
    mean_x, mean_y, xx, yy, xy = means.split(1, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (variances + c2)
    return (luminance * structure).mean()


def _box_mean(x: torch.Tensor, side: int, stride: int) -> torch.Tensor:
    """As `F.avg_pool2d`, along one axis after the other, which `torch.compile` can fuse."""
    x = F.avg_pool2d(x, (1, side), (1, stride))
    return F.avg_pool2d(x, (side, 1), (stride, 1))


def psnr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N] peak signal-to-noise ratios in dB of [N, 3, S, S] in [0, 1]."""
    return -10 * (output - target).square().mean(dim=(1, 2, 3)).clamp_min(1e-12).log10()


def ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N] mean structural similarities of [N, 3, S, S] in [0, 1]."""
    return kornia.metrics.ssim(output, target, SSIM_WINDOW).mean(dim=(1, 2, 3))
