"""What training minimises, and the figures it is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..sharpen import average_around, average_boxes, luma, unsharp_mask

if TYPE_CHECKING:
    from collections.abc import Collection

SHARPNESS_BOX = 8


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
        output = luma(output)
    if "ssim" in names:
        losses["ssim"] = 1 - _box_ssim(output, luma(target))
    if "sharpness" in names:
        losses["sharpness"] = sharpness(output, luma(clean))
    return losses


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
    # Differences leave out the last row and column.
    return average_around(F.pad(_gradient(luma(faces)), (0, 1, 0, 1), mode="replicate"))


def sharpness(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean difference of how sharp two images are, box by box.

    Each box of 8 px is as sharp as its mean gradient; where in the box an edge lies does not
    count, so that detail need not be guessed to the pixel, as L1 and SSIM would have it.

    Args:
        output: [N, 1, H, W], luma.
        target: the same.
    """
    x, y = (average_boxes(_gradient(light), SHARPNESS_BOX, stride=4) for light in (output, target))
    return (x - y).abs().mean()


def _gradient(light: torch.Tensor) -> torch.Tensor:
    """|∇| per pixel of [N, 1, H, W], by differences to the right and below."""
    across = light[:, :, :-1, 1:] - light[:, :, :-1, :-1]
    down = light[:, :, 1:, :-1] - light[:, :, :-1, :-1]
    return (across.square() + down.square() + 1e-8).sqrt()


def _box_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean SSIM of [N, 1, H, W] in 7 px boxes.

    `kornia.losses.ssim_loss` with its Gaussian windows on R, G and B took 40 % of a training step
    on a CPU; this takes 10 %, or 4 % compiled.
    """
    means = average_boxes(torch.cat([x, y, x * x, y * y, x * y], dim=1), 7)
    mean_x, mean_y, xx, yy, xy = means.split(1, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (variances + c2)
    return (luminance * structure).mean()
