"""Training steps as recordings; what a GPU would do, a double does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from recorder_double import Recorder
from training_faces import smooth_faces

from gpen_core import GPENConfig
from gpen_core.training import graphed
from gpen_core.training.graphed import WARM_UP_PASSES
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIG = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=8, mapping_layers=1)
PLAN = TrainingPlan(CONFIG, steps=20, batch_size=2, ssim_weight=0.1)


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(graphed, "DEVICES", ("cpu",))
    monkeypatch.setattr(graphed, "Recorder", Recorder)
    monkeypatch.setattr(Recorder, "replayed", 0)
    monkeypatch.setattr(Recorder, "refusal", None)
    return Recorder


def train(steps: int = 8, **options) -> tuple[Trainer, list[dict[str, float]]]:
    trainer = Trainer(PLAN, smooth_faces(4, 32), CPU, **options)
    return trainer, [trainer.step() for _ in range(steps)]


def test_recorded_steps_are_those_of_the_plain_loop(recorder, monkeypatch):
    found, figures = train()
    assert recorder.replayed == 8 - WARM_UP_PASSES
    monkeypatch.setattr(graphed, "DEVICES", ())
    plain, expected = train()
    assert plain.graphed is None
    assert figures == expected
    for one, other in zip(found.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_that_cannot_be_recorded_runs_plainly(recorder, monkeypatch):
    recorder.refusal = RuntimeError("operation not permitted when stream is capturing")
    with pytest.warns(UserWarning, match="without a graph"):
        _, figures = train()
    monkeypatch.setattr(graphed, "DEVICES", ())
    assert figures == train()[1]


def test_memory_that_runs_out_is_said(recorder):
    recorder.refusal = RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        train()


def test_what_trains_an_opponent_too_is_not_recorded(recorder):
    plan = replace(PLAN, adversarial_weight=0.01, discriminator_widths=(8,) * 4)
    trainer = Trainer(plan, smooth_faces(4, 32), CPU)
    assert trainer.graphed is None
    assert {"adversarial", "discriminator"} <= trainer.step().keys()
