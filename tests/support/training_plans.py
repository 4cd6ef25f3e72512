"""Plans that train within seconds, and a comparison of their states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_faces import CONFIG

from gpen_core.checkpoints.tensor_files import read_tensor_file
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import STATE_NAME

CPU = torch.device("cpu")
PLAN = TrainingPlan(CONFIG, steps=40, batch_size=4, ssim_weight=0.1)
MUON = replace(PLAN, optimizer="muon")
ADVERSARIAL = replace(
    PLAN,
    sharpness_weight=0.5,
    target_sharpening=0.5,
    adversarial_weight=0.005,
    feature_weight=0.05,
    discriminator_widths=(8,) * 5,
)
PLANS = {"plain": PLAN, "muon": MUON, "adversarial": ADVERSARIAL}
each_plan = pytest.mark.parametrize(
    "plan",
    [
        pytest.param(plan, id=name, marks=() if plan is PLAN else pytest.mark.slow)
        for name, plan in PLANS.items()
    ],
)
"""Runs a test that trains with every plan, all but the first in `make test-all` only."""


def read_contents(folder: Path) -> Any:
    """Return the contents of the state in `folder`."""
    return read_tensor_file(folder / STATE_NAME).contents


def assert_equal(found: Any, expected: Any, where: str = "state") -> None:
    """Compare nested states, tensors to the bit."""
    assert type(found) is type(expected), where
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_equal(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            assert_equal(*pair, f"{where}.{index}")
    else:
        assert found == expected, where
