"""A Runner for tests: a model's sizes, and a function that runs in the network's place."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gpen_core.arch import GPEN


class FunctionRunner:
    """Runs `run(crops, noise_seed=…)` with the config, device, dtype and sharpening of `model`."""

    def __init__(self, model: GPEN, run: Callable[..., torch.Tensor]) -> None:
        self.model, self.run = model, run
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        self.sharpen = model.sharpen

    def __call__(self, faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        return self.run(faces, noise_seed=noise_seed)
