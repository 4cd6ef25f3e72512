from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gpen_core.arch import GPEN, GPENConfig

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of files that are not part of the project; mark tests that use it `weights`."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the files of {SHARED}, which this checkout lacks")
    return SHARED


@pytest.fixture(scope="session")
def tiny_gpen() -> GPEN:
    """A 32 px GPEN with random weights, biases and noise gains. Shared: do not change it."""
    torch.manual_seed(1)
    model = GPEN(GPENConfig(32, 32, widths=(8, 8, 6, 4), style_dim=16, mapping_layers=2))
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture
def tensors(tiny_gpen: GPEN) -> dict[str, torch.Tensor]:
    """The tensors of `tiny_gpen`, a copy for every test."""
    return {name: tensor.clone() for name, tensor in tiny_gpen.state_dict().items()}
