"""Recorded training steps; a double stands in for CUDA."""

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


def test_recorded_steps_equal_those_without_a_graph(recorder, monkeypatch):
    found, losses = train()
    assert recorder.replayed == 8 - WARM_UP_PASSES
    monkeypatch.setattr(graphed, "DEVICES", ())
    plain, expected = train()
    assert plain.graphed is None
    assert losses == expected
    for one, other in zip(found.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_that_cannot_be_recorded_runs_plainly(recorder, monkeypatch):
    recorder.refusal = RuntimeError("operation not permitted when stream is capturing")
    with pytest.warns(UserWarning, match="without a graph"):
        _, losses = train()
    monkeypatch.setattr(graphed, "DEVICES", ())
    assert losses == train()[1]


def test_running_out_of_memory_while_recording_is_an_error(recorder):
    recorder.refusal = RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        train()


def test_steps_with_a_discriminator_are_not_recorded(recorder):
    plan = replace(PLAN, adversarial_weight=0.01, discriminator_widths=(8,) * 4)
    trainer = Trainer(plan, smooth_faces(4, 32), CPU)
    assert trainer.graphed is None
    assert {"adversarial", "discriminator"} <= trainer.step().keys()
