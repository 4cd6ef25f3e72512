"""Inputs and checks for tests of the CPU kernels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gpen_core.arch.cpu import launch
from gpen_core.arch.cpu.factors import Factors

needs_kernels = pytest.mark.skipif(
    not launch.is_available(torch.float32),
    reason="needs Linux, llvmlite (pip install llvmlite) and a torch with GNU's OpenMP",
)
dtypes = pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)])
"""The dtypes of the kernels, with the relative error that rounding explains."""

channels = pytest.mark.parametrize("count", [16, 17, 40])
"""Numbers of channels; a vector holds 16."""


def random_pixels(count: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Return random values [1, count, height, width] in channels_last layout."""
    x = torch.randn(1, count, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def make_framed(
    count: int, height: int, width: int, dtype: torch.dtype
) -> tuple[torch.Tensor, ...]:
    """Return an image with a frame of sevens, and the part within the frame."""
    frame = torch.full((1, count, height + 4, width + 4), 7, dtype=dtype)
    frame = frame.contiguous(memory_format=torch.channels_last)
    return frame, frame[:, :, 2:-2, 2:-2]


def assert_frame_untouched(frame: torch.Tensor) -> None:
    outside = frame.clone()
    outside[:, :, 2:-2, 2:-2] = 7
    assert (outside == 7).all()


def random_factors(inputs: int, outputs: int) -> Factors:
    """Return the factors of a layer that appends noise."""
    return Factors(
        torch.rand(inputs) + 0.5,
        torch.rand(outputs) + 0.5,
        torch.randn(outputs),
        torch.randn(1),
        torch.randn(outputs),
    )


def activate(y: torch.Tensor, noise: torch.Tensor, factors: Factors) -> torch.Tensor:
    """Activate y and its noise with torch in float32, and append the noise."""
    values = y * factors.gain[:, None, None] + factors.bias[:, None, None]
    appended = noise.float() * factors.noise_gain + factors.noise_bias[:, None, None]
    return F.leaky_relu(torch.cat([values, appended], dim=1), 0.2)
