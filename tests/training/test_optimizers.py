"""Optimizers by name: which parameters each of them gets."""

from __future__ import annotations

import pytest
from training_faces import CONFIG

from gpen_core import GPEN, MismatchError
from gpen_core.training.muon import find_hidden_weights
from gpen_core.training.optimizers import make_optimizer


def test_muon_gets_the_convolutions_between_features_and_adam_the_rest():
    model = GPEN(CONFIG)
    optimizer = make_optimizer("muon", model, 0.01)
    counts = [len(group["params"]) for group in optimizer.param_groups]
    hidden = find_hidden_weights(model)
    assert counts == [len(hidden), len([*model.parameters()]) - len(hidden)]


def test_another_name_is_refused():
    with pytest.raises(MismatchError, match="adam, muon, found 'sgd'"):
        make_optimizer("sgd", GPEN(CONFIG), 0.01)
