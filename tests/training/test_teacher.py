"""Training on the faces that another network restores, instead of the clean ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces

from gpen_core import GPEN, CheckpointError, GPENConfig, MismatchError
from gpen_core.degradation.presets import PRESETS
from gpen_core.training.identity import start_as_identity
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.teacher import Teacher
from gpen_core.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIG = GPENConfig(64, 64, (16, 16, 16, 16, 8), style_dim=16, mapping_layers=2)
PLAN = TrainingPlan(CONFIG, steps=40, batch_size=4, teacher="brighter.pth (SHA-256 0123…)")
BRIGHTER = 0.1


@pytest.fixture
def brighter() -> GPEN:
    """A network that only makes faces brighter."""
    model = GPEN(CONFIG)
    start_as_identity(model)
    with torch.no_grad():
        model.generator.to_rgb1.bias += 2 * BRIGHTER  # the network works in [-1, 1]
    return model


@pytest.mark.slow
def test_a_network_learns_from_its_teacher_and_not_from_the_clean_faces(brighter):
    crops = smooth_faces(8)
    trainer = Trainer(PLAN, crops, CPU, teacher=brighter)
    losses = [trainer.step()["l1"] for _ in range(PLAN.steps)]
    assert BRIGHTER / 2 < losses[0] < BRIGHTER, "the whole difference, less where faces are white"
    assert losses[-1] < losses[0] / 4
    x = crops[:4] / 255 * 0.8
    brightened = trainer.ema(x * 2 - 1).mean() / 2 + 0.5 - x.mean()
    assert brightened == pytest.approx(BRIGHTER, rel=0.3)


def test_a_plan_can_sharpen_the_teacher_s_faces():
    teacher = GPEN(CONFIG)
    start_as_identity(teacher)
    crops = smooth_faces(8)
    plain, sharpened = (
        Trainer(replace(PLAN, target_sharpening=amount), crops, CPU, teacher=teacher).step()["l1"]
        for amount in (0, 2)
    )
    assert plain < 1e-6, "both networks are the identity"
    assert sharpened > 1e-3


def test_a_plan_can_let_targets_become_sharper_than_the_clean_faces():
    teacher = GPEN(CONFIG)
    start_as_identity(teacher)
    plan = replace(PLAN, target_sharpening=4, degradation=PRESETS["traces"])
    bound, free = (
        Trainer(replace(plan, sharpness_limit=factor), smooth_faces(8), CPU, teacher=teacher).step()
        for factor in (1, 99)
    )
    assert free["l1"] > 2 * bound["l1"] > 0


def test_a_mirrored_teacher_sees_every_face_mirrored():
    torch.manual_seed(0)
    model = GPEN(CONFIG).eval()
    teacher = Teacher(model, PLAN, CPU)
    x = torch.rand(2, 3, 64, 64)
    plain, mirrored = (teacher.restore(x, mirrored=side) for side in (False, True))
    assert (plain - mirrored).abs().max() > 0.01
    assert torch.equal(mirrored, teacher.restore(x.flip(-1), mirrored=False).flip(-1))
    with torch.no_grad():
        expected = (model(x * 2 - 1) / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(plain, expected, atol=1e-5)


def test_the_caller_s_network_does_not_change(brighter):
    brighter.train()
    Trainer(replace(PLAN, bf16=True), smooth_faces(4), CPU, teacher=brighter)
    assert brighter.training
    assert all(parameter.requires_grad for parameter in brighter.parameters())


def test_a_teacher_of_another_size_is_refused(brighter):
    config = GPENConfig(32, 32, (16, 16, 16, 16), style_dim=16, mapping_layers=2)
    with pytest.raises(MismatchError, match=r"64 px to 64 px.*those of 32 px to 32 px"):
        Trainer(replace(PLAN, config=config), smooth_faces(4, 32), CPU, teacher=brighter)


@pytest.mark.parametrize("planned", [True, False])
def test_a_teacher_must_be_both_planned_and_given_or_neither(brighter, planned):
    plan = PLAN if planned else replace(PLAN, teacher=None)
    with pytest.raises(MismatchError, match="Name it in the plan and give it"):
        Trainer(plan, smooth_faces(4), CPU, teacher=None if planned else brighter)


def test_a_run_does_not_resume_with_another_teacher(brighter, tmp_path):
    crops = smooth_faces(4)
    Trainer(PLAN, crops, CPU, teacher=brighter).save(tmp_path)
    assert Trainer(PLAN, crops, CPU, teacher=brighter).resume(tmp_path)
    with pytest.raises(CheckpointError, match="another teacher"):
        Trainer(replace(PLAN, teacher=None), crops, CPU).resume(tmp_path)
