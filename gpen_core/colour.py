"""Give restored faces the colours that they had.

A network may tint a face, and it paints skin colours into a grey one. Colour is the part of a crop
that survives damage best, so the given crop decides: over areas of a sixteenth of the crop, each
channel keeps its mean, and a crop that is grey stays grey.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .devices import full_precision
from .sharpen import luma

GRID = 32
"""Cells along a side in which both crops are averaged."""
SIGMA = 2.0
"""Blur of the difference, in cells: a sixteenth of the crop's side."""
GREY = 2 / 255
"""Mean difference between the largest and the smallest channel below which a crop counts as grey:
a grey photograph that was stored in colour is off by one here and there."""


def match_colour(restored: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Give restored crops the low frequencies of the crops before, and grey ones their chroma.

    Args:
        restored: [N, 3, S, S] RGB in [0, 1].
        before: the same crops before they were restored, [N, 3, S, S] RGB in [0, 1].

    Returns:
        [N, 3, S, S] RGB in [0, 1].
    """
    return keep_grey(restored + _blur(before - restored), before).clamp(0, 1)


def keep_grey(restored: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Give restored crops that were grey the chroma that they had; the others stay as they are.

    Args:
        restored: [N, 3, S, S] RGB in [0, 1].
        before: the same crops before they were restored, [N, 3, S, S] RGB in [0, 1].

    Returns:
        [N, 3, S, S] RGB in [0, 1].
    """
    chroma = (before.amax(dim=1) - before.amin(dim=1)).mean(dim=(1, 2))
    # R, G and B of a grey crop change by the same amount, so that equal channels stay equal.
    grey = (before + (luma(restored) - luma(before))).clamp(0, 1)
    return torch.where((chroma < GREY)[:, None, None, None], grey, restored)


def _blur(difference: torch.Tensor) -> torch.Tensor:
    """Blur [N, 3, S, S] by σ = a sixteenth of its side."""
    size = difference.shape[-1]
    cells = F.adaptive_avg_pool2d(difference, min(GRID, size))
    reach = round(3 * SIGMA)
    offsets = torch.arange(-reach, reach + 1, dtype=cells.dtype, device=cells.device)
    kernel = torch.exp(-offsets.square() / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    cells = F.pad(cells, (reach, reach, reach, reach), mode="replicate")
    with full_precision(cells.device):
        cells = F.conv2d(F.conv2d(cells, kernel, groups=3), kernel.transpose(2, 3), groups=3)
    return F.interpolate(cells, size=(size, size), mode="bilinear", align_corners=False)
