"""Weights, inputs and configurations of the golden tests, regenerated from seeds.

NumPy's policy freezes the legacy `RandomState`, so every version draws the same numbers.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from networks import build_gpen

from gpen_core.arch import GPEN, GPENConfig

WEIGHT_SEED, INPUT_SEED = 20260101, 20260102
TINY = {"style_dim": 32, "mapping_layers": 2}
CASES = {
    "tiny-64": GPENConfig(64, 64, (32,) * 5, **TINY),
    "tiny-64-added-noise": GPENConfig(64, 64, (32,) * 5, **TINY, noise="add"),
    "tiny-sr-32-to-128": GPENConfig(32, 128, (32, 32, 32, 32, 32, 16), **TINY),
    "gpen-256": GPENConfig.published(256, channel_multiplier=1, narrow=0.5),
    "gpen-512": GPENConfig.published(512),
    "gpen-1024": GPENConfig.published(1024),
    "gpen-2048": GPENConfig.published(2048),
}

ODD = {
    "odd widths": GPENConfig(16, 16, (5, 3, 7), style_dim=9, mapping_layers=1),
    "deep mapping": GPENConfig(8, 8, (4, 4), style_dim=3, mapping_layers=11),
    "added noise": GPENConfig(16, 16, (6, 6, 2), style_dim=8, mapping_layers=2, noise="add"),
    "smaller input": GPENConfig(8, 64, (8, 6, 4, 3, 2), style_dim=8, mapping_layers=3),
    "smaller input, added": GPENConfig(8, 32, (4, 4, 4, 4), 8, 3, noise="add"),
    "no mapping beyond one": GPENConfig(8, 8, (1, 1), style_dim=1, mapping_layers=1),
}


def shapes(config: GPENConfig) -> dict[str, list[int]]:
    """Return `{tensor name: shape}` of a GPEN."""
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in GPEN(config).state_dict().items()}


def golden_tensor(name: str, shape: list[int]) -> torch.Tensor:
    """Return the published initialisation, with random biases and gains: zero terms hide bugs."""
    rng = np.random.RandomState((zlib.crc32(name.encode()) + WEIGHT_SEED) % 2**32)
    normal = rng.standard_normal(shape).astype(np.float32)
    mapping = name.startswith("generator.style.")
    if mapping and name.endswith("weight"):
        normal = normal / np.float32(0.01)
    elif mapping:
        normal = normal * np.float32(10)
    elif name.endswith("modulation.bias"):
        normal = 1 + np.float32(0.1) * normal
    elif name.endswith("noise.weight"):
        normal = np.float32(0.3) + np.float32(0.1) * normal
    elif name.endswith("bias"):
        normal = np.float32(0.1) * normal
    return torch.from_numpy(np.asarray(normal, dtype=np.float32))


def golden_input(size: int, batch: int) -> torch.Tensor:
    """Return waves plus noise, [batch, 3, size, size] in [-1, 1]."""
    rng = np.random.RandomState(INPUT_SEED)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    images = []
    for _ in range(batch):
        waves = []
        for _ in range(3):
            a, b = rng.uniform(1, 4), rng.uniform(1, 4)
            waves.append(np.sin(2 * np.pi * (a * x + b * y + rng.uniform())))
        images.append(np.stack(waves) * 0.7 + 0.1 * rng.standard_normal((3, size, size)))
    return torch.from_numpy(np.clip(np.stack(images), -1, 1).astype(np.float32))


def golden_model(config: GPENConfig, *, noiseless: tuple[int, ...] = ()) -> GPEN:
    """Build a GPEN without zero terms.

    Args:
        noiseless: indices of `generator.convs` whose noise gain is zero all the same.
    """
    learned = {k: shape for k, shape in shapes(config).items() if not k.endswith(".kernel")}
    weights = {name: golden_tensor(name, shape) for name, shape in learned.items()}
    for i in noiseless:
        weights[f"generator.convs.{i}.noise.weight"].zero_()
    model = build_gpen(weights)
    assert model.config == config
    return model
