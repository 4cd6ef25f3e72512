"""The loop: reads losses, saves, and stops without harm to the saved state."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces
from training_plans import ADVERSARIAL, CPU, PLAN, each_plan, read_contents

from gpen_core.errors import TrainingError
from gpen_core.training.loop import run_training
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME
from gpen_core.training.trainer import Trainer


@pytest.mark.slow
def test_losses_are_the_same_when_they_are_read_late(tmp_path):
    plan = replace(PLAN, steps=7)
    courses = []
    for every in (1, 3):
        told: list[tuple[int, dict[str, float]]] = []

        def note(step, losses, told=told):
            told.append((step, losses))

        trainer = Trainer(plan, smooth_faces(8), CPU)
        run_training(trainer, tmp_path / str(every), read_every=every, on_step=note)
        courses.append(told)
    assert courses[0] == courses[1]
    assert [step for step, _ in courses[1]] == list(range(1, 8))


@pytest.mark.parametrize("stopped", [False, True])
def test_all_losses_are_read_before_a_state_is_saved(tmp_path, stopped):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    run_training(trainer, tmp_path, minutes=0)
    kept = (tmp_path / STATE_NAME).read_bytes()
    advance = trainer.advance

    def advance_to_nan():
        if stopped and trainer.steps_done == 5:
            raise InterruptedError
        if trainer.steps_done == 3:
            with torch.no_grad():
                trainer.model.ecd0[0][0].weight.fill_(float("nan"))
        return advance()

    trainer.advance = advance_to_nan
    with pytest.raises(TrainingError, match=r"At step 4 loss"):
        run_training(trainer, tmp_path, read_every=10, save_every=0)
    assert (tmp_path / STATE_NAME).read_bytes() == kept


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_saved_state(tmp_path):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    run_training(trainer, tmp_path, minutes=0)
    kept = (tmp_path / STATE_NAME).read_bytes()
    with torch.no_grad():
        trainer.model.ecd0[0][0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"At step 2 loss, l1, ssim became NaN or infinite"):
        run_training(trainer, tmp_path)
    assert (tmp_path / STATE_NAME).read_bytes() == kept


@each_plan
def test_ctrl_c_in_the_middle_of_a_step_takes_effect_at_its_end(tmp_path, plan):
    whole = Trainer(plan, smooth_faces(8), CPU)
    course = [whole.step() for _ in range(4)]
    first = Trainer(plan, smooth_faces(8), CPU)
    step = first.optimizer.step

    def step_and_interrupt():
        step()
        if first.steps_done == 1:
            signal.raise_signal(signal.SIGINT)

    first.optimizer.step = step_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        run_training(first, tmp_path)
    assert read_contents(tmp_path)["steps_done"] == 2
    second = Trainer(plan, smooth_faces(8), CPU)
    second.resume(tmp_path)
    assert [second.step() for _ in range(2)] == course[2:]


def test_a_step_that_fails_half_way_is_not_saved(tmp_path, monkeypatch):
    trainer = Trainer(ADVERSARIAL, smooth_faces(8), CPU)
    trainer.step()
    trainer.save(tmp_path)
    before = (tmp_path / STATE_NAME).read_bytes()

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(trainer.adversary, "learn", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_training(trainer, tmp_path)
    assert (tmp_path / STATE_NAME).read_bytes() == before


@pytest.mark.parametrize("error", [RuntimeError("unexpected pos 64"), OSError(28, "No space left")])
def test_a_full_disk_is_reported_and_the_saved_state_kept(tmp_path, monkeypatch, error):
    trainer = Trainer(replace(PLAN, steps=1), smooth_faces(8), CPU)
    trainer.save(tmp_path)
    before = (tmp_path / STATE_NAME).read_bytes()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(TrainingError, match="cannot be saved in"):
        run_training(trainer, tmp_path)
    assert (tmp_path / STATE_NAME).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {STATE_NAME, WEIGHTS_NAME}
