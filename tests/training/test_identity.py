"""A fresh network starts as the identity, if it can."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_faces import CONFIG

from gpen_core import GPEN, MismatchError
from gpen_core.training.identity import start_as_identity


def test_a_fresh_network_starts_as_the_identity():
    torch.manual_seed(0)
    model = GPEN(CONFIG)
    start_as_identity(model)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert (model(x) - x).abs().max() < 1e-6


def test_a_network_that_cannot_be_the_identity_is_refused():
    with pytest.raises(MismatchError, match="at least 6"):
        start_as_identity(GPEN(replace(CONFIG, widths=(16, 16, 16, 16, 4))))
