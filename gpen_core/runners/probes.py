"""Fixed inputs on which two ways to run one network are compared, and the measure of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

COARSE = 16  # px; as smooth as a face
GRAIN = 0.2


def make_probe(count: int, size: int) -> torch.Tensor:
    """Return smooth random pictures with grain, the same in every call.

    Returns:
        [count, 3, size, size] float32 in [-1, 1], on the CPU.
    """
    generator = torch.Generator().manual_seed(20210506)
    coarse = torch.rand(count, 3, COARSE, COARSE, generator=generator) * 2 - 1
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    grain = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    return (smooth + GRAIN * grain).clamp(-1, 1)


def relative_difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return ‖found − wanted‖ / ‖wanted‖; infinite if a value is not finite or a shape differs."""
    if found.shape != wanted.shape:
        return float("inf")
    difference = (found.double() - wanted.double()).norm() / wanted.double().norm()
    return float(difference) if torch.isfinite(difference) else float("inf")
