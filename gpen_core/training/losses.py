"""The losses that need no second network: L1, SSIM and sharpness, and the targets they use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..sharpen import average_around, average_boxes, luma, unsharp_mask

if TYPE_CHECKING:
    from collections.abc import Collection

SHARPNESS_BOX = 8  # px


def reconstruction_losses(
    output: torch.Tensor, target: torch.Tensor, clean: torch.Tensor, names: Collection[str]
) -> dict[str, torch.Tensor]:
    """Compute the losses "l1", "ssim" and "sharpness", as far as `names` holds them.

    Args:
        output: [N, 3, S, S] RGB, meant to lie in [0, 1].
        target: the same shape in [0, 1], compared by L1 and SSIM: the clean faces, sharpened ones,
            or a teacher's.
        clean: the clean faces, compared by sharpness.
        names: names of losses; unknown ones are ignored.
    """
    losses = {}
    if "l1" in names:
        losses["l1"] = (output - target).abs().mean()
    if "ssim" in names or "sharpness" in names:
        output = luma(output)
    if "ssim" in names:
        losses["ssim"] = 1 - _box_ssim(output, luma(target))
    if "sharpness" in names:
        losses["sharpness"] = sharpness_loss(output, luma(clean))
    return losses


def sharpness_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean difference in sharpness, box by box.

    The sharpness of a box of 8 px is its mean gradient. Where an edge lies within the box does not
    count; L1 and SSIM on the other hand ask for detail in exactly the right pixel.

    Args:
        output: [N, 1, H, W], luma.
        target: the same.
    """
    x, y = (
        average_boxes(_measure_gradient(light), SHARPNESS_BOX, stride=4)
        for light in (output, target)
    )
    return (x - y).abs().mean()


def sharpen_towards(
    restored: torch.Tensor, clean: torch.Tensor, amount: float, *, ceiling: float = 1
) -> torch.Tensor:
    """Apply `unsharp_mask` to restored faces, but make them nowhere sharper than the clean ones.

    The mean gradient in the box of 17 px around each pixel is raised to that of the clean face and
    no further. Parts that are sharp already stay as they are, and so does grain on smooth skin.

    Args:
        restored: [N, 3, S, S] RGB in [0, 1].
        clean: the clean faces.
        amount: amount of the unsharp mask where the clean faces allow all of it.
        ceiling: how many times the clean faces' gradient is allowed. A network that learns from
            the result stays below it.
    """
    if not amount:
        return restored
    sharpened = unsharp_mask(restored, amount)
    before, after, wanted = (_map_sharpness(x) for x in (restored, sharpened, clean))
    weight = ((ceiling * wanted - before) / (after - before).clamp_min(1e-6)).clamp(0, 1)
    return torch.lerp(restored, sharpened, weight)


def _map_sharpness(images: torch.Tensor) -> torch.Tensor:
    """Return the mean gradient in the box around every pixel, [N, 1, S, S]."""
    # A gradient is a difference between neighbours: the last row and column have none.
    return average_around(F.pad(_measure_gradient(luma(images)), (0, 1, 0, 1), mode="replicate"))


def _measure_gradient(light: torch.Tensor) -> torch.Tensor:
    """Return |∇| per pixel of [N, 1, H, W], from the differences to the right and below."""
    across = light[:, :, :-1, 1:] - light[:, :, :-1, :-1]
    down = light[:, :, 1:, :-1] - light[:, :, :-1, :-1]
    return (across.square() + down.square() + 1e-8).sqrt()


def _box_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean SSIM of [N, 1, H, W] in boxes of 7 px.

    It takes 10 % of a training step on a CPU, or 4 % compiled. `kornia.losses.ssim_loss`, with
    Gaussian windows on R, G and B, took 40 %.
    """
    means = average_boxes(torch.cat([x, y, x * x, y * y, x * y], dim=1), 7)
    mean_x, mean_y, xx, yy, xy = means.split(1, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (variances + c2)
    return (luminance * structure).mean()
