"""Sharpens restored faces where they were restored.

A network that learned to be faithful is softer than a photograph wherever it had to choose between
faces. An unsharp mask makes up for it, at less cost to fidelity than teaching the network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

SIGMA = 0.7  # pixels; of 0.7 and 1, on luma and on RGB, this cost the least PSNR
REACH = 3  # pixels, over 4 σ
LIMIT = 8 / 255  # of [0, 1], the most that a pixel changes by
RESTORED = 6 / 255  # of [0, 1]; where the network changed that much it is sharpened in full
BOX = 17  # pixels
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def sharpen_restored(restored: torch.Tensor, before: torch.Tensor, amount: float) -> torch.Tensor:
    """`unsharp_mask` of restored faces, the less the less they were changed.

    What was good already and is left as it was stays as sharp as it was: the share of the mask is
    the root mean square of what the luma changed by, in the box of 17 px around a pixel, over 6
    levels of 255, and at most 1.

    Args:
        restored: [N, 3, S, S] RGB in [0, 1].
        before: the same faces before they were restored, at that size.
        amount: of the mask; 0 gives `restored`.

    Returns:
        [N, 3, S, S] RGB in [0, 1].
    """
    if not amount:
        return restored
    change = around((luma(restored) - luma(before)).square()).sqrt()
    return torch.lerp(restored, unsharp_mask(restored, amount), (change / RESTORED).clamp(max=1))


def unsharp_mask(faces: torch.Tensor, amount: float) -> torch.Tensor:
    """Faces [N, 3, S, S] in [0, 1] and `amount` times the luma's detail finer than σ = 0.7 px.

    The same is added to R, G and B, so that colours and the noise in them stay as they are. No
    pixel changes by more than 8 levels: no halos beside strong edges, which cost most PSNR and add
    least to what looks sharp.
    """
    if not amount:
        return faces
    light = luma(faces)
    detail = amount * (light - _blurred(light))
    return (faces + LIMIT * torch.tanh(detail / LIMIT)).clamp_(0, 1)


def luma(image: torch.Tensor) -> torch.Tensor:
    """[N, 1, H, W] of [N, 3, H, W] RGB."""
    red, green, blue = (weight * image[:, i : i + 1] for i, weight in enumerate(LUMA))
    return red + green + blue


def around(x: torch.Tensor) -> torch.Tensor:
    """Means of [N, 1, S, S] in the box of 17 px around every pixel, its border repeated."""
    return box_mean(F.pad(x, [BOX // 2] * 4, mode="replicate"), BOX)


def box_mean(x: torch.Tensor, side: int, *, stride: int = 1) -> torch.Tensor:
    """As `F.avg_pool2d`, along one axis after the other, which `torch.compile` can fuse."""
    x = F.avg_pool2d(x, (1, side), (1, stride))
    return F.avg_pool2d(x, (side, 1), (stride, 1))


def _blurred(light: torch.Tensor) -> torch.Tensor:
    """[N, 1, H, W] under the unsharp mask's Gaussian, mirrored at the border."""
    # Weights are numbers of Python: a tensor of them would have to reach the device first.
    reach = range(-REACH, REACH + 1)
    weights = [math.exp(-0.5 * (at / SIGMA) ** 2) for at in reach]
    light = F.pad(light, [REACH] * 4, mode="reflect")
    for axis in (2, 3):
        windows = light.unfold(axis, len(weights), 1).unbind(-1)
        pairs = zip(weights, windows, strict=True)
        light = torch.stack([weight / sum(weights) * window for weight, window in pairs]).sum(0)
    return light
