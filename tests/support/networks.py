"""Small networks with random weights, two ways to run them, and measures of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.checkpoints.loading import build_network
from gpen_core.checkpoints.state_dicts import read_state_dict

NARROW = (8, 8, 8, 6, 4, 4)
"""Channels at 4 … 128 px, too few for the CPU kernels."""

WIDE = (40, 33, 24, 17, 16, 16)
"""Channels at 4 … 128 px, enough for the CPU kernels."""


def random_network(
    in_size: int = 64, out_size: int = 64, *, widths: Sequence[int] = NARROW, noise: str = "concat"
) -> GPEN:
    """Make a GPEN with random weights, biases and noise gains."""
    widths = tuple(widths[: out_size.bit_length() - 2])
    config = GPENConfig(in_size, out_size, widths, style_dim=16, mapping_layers=2, noise=noise)
    model = GPEN(config)
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return model.eval().requires_grad_(False)


def random_crops(count: int, size: int = 64) -> torch.Tensor:
    """Return crops [count, 3, size, size] in [-1, 1]."""
    return torch.rand(count, 3, size, size) * 2 - 1


def by_modules(model: GPEN, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
    """Run the plain modules, as training does."""
    with torch.enable_grad():
        return model(x, noise_seed=noise_seed)


def by_strips(model: GPEN, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
    """Run the engine for CPUs."""
    with torch.no_grad():
        return model(x, noise_seed=noise_seed)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the norm of the difference, relative to the norm of `wanted`."""
    assert found.shape == wanted.shape
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def psnr(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio of images in [-1, 1] in dB."""
    return float(10 * torch.log10(4 / (found - wanted).square().mean()))


def build_gpen(contents: Any) -> GPEN:
    """Build a float32 GPEN from tensors by name, bare or in a container that files use."""
    tensors, config, _ = read_state_dict(contents)
    return build_network(tensors, config)
