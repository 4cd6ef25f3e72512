"""What keeps float16 from overflowing."""

from __future__ import annotations

import torch

FP16_CLAMP = 4096.0
"""Activations in float16 end here, so that what a convolution adds up of them stays below 65504.

Far above what trained weights give; StyleGAN2-ADA clamps at 256 to the same end.
"""


def limit(dtype: torch.dtype) -> float:
    """Where activations in `dtype` end; 0 is nowhere."""
    return FP16_CLAMP if dtype == torch.float16 else 0.0


def clamp(x: torch.Tensor) -> torch.Tensor:
    """Activations, within the limit of their dtype."""
    end = limit(x.dtype)
    return x.clamp(-end, end) if end else x
