"""States: resuming is exact, and an unsuitable state is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces
from training_plans import CPU, PLAN, assert_equal, each_plan, read_contents

from gpen_core import CheckpointError
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME
from gpen_core.training.trainer import Trainer


@each_plan
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path, plan):
    plan = replace(plan, r1_every=4)
    crops = smooth_faces(8)
    whole = Trainer(plan, crops, CPU)
    course = [whole.step() for _ in range(6)]
    first = Trainer(plan, crops, CPU)
    for _ in range(3):
        first.step()
    first.save(tmp_path)
    second = Trainer(plan, crops, CPU)
    assert second.resume(tmp_path)
    assert [second.step() for _ in range(3)] == course[3:]
    second.save(tmp_path / "second")
    whole.save(tmp_path / "whole")
    found, expected = (read_contents(tmp_path / name) for name in ("second", "whole"))
    assert_equal(found, expected)


def test_resuming_another_plan_is_refused_and_named(tmp_path):
    crops = smooth_faces(8)
    Trainer(PLAN, crops, CPU).save(tmp_path)
    other = Trainer(replace(PLAN, batch_size=2), crops, CPU)
    with pytest.raises(CheckpointError, match=r"another batch_size: batch_size was 4, now 2"):
        other.resume(tmp_path)
    longer = Trainer(replace(PLAN, steps=80), crops, CPU)
    assert longer.resume(tmp_path)


def test_a_state_from_a_gpu_resumes_on_a_cpu(tmp_path):
    first, second = (Trainer(PLAN, smooth_faces(8), CPU) for _ in range(2))
    first.step()
    first.save(tmp_path)
    state = torch.load(tmp_path / STATE_NAME)
    for group in state["optimizer"]["param_groups"]:
        group["fused"] = True  # as `Adam` sets it on a GPU
    torch.save(state, tmp_path / STATE_NAME)
    assert second.resume(tmp_path)
    assert_equal(second.optimizer.state_dict(), first.optimizer.state_dict())
    assert second.step() == first.step()


def test_a_damaged_state_is_refused_by_name(tmp_path):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    trainer.save(tmp_path)
    state = tmp_path / STATE_NAME
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=rf"{STATE_NAME}.*--from .*{WEIGHTS_NAME}") as caught:
        trainer.resume(tmp_path)
    assert "download" not in str(caught.value)


def test_another_number_of_faces_is_refused(tmp_path):
    Trainer(PLAN, smooth_faces(8), CPU).save(tmp_path)
    with pytest.raises(CheckpointError, match="trained on 8 faces, and now there are 9"):
        Trainer(PLAN, smooth_faces(9), CPU).resume(tmp_path)


def test_a_state_of_an_earlier_version_with_fewer_options_resumes(tmp_path):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    trainer.save(tmp_path)
    state = read_contents(tmp_path)
    newer = ("sharpness_weight", "target_sharpening", "adversarial_weight", "r1_weight", "start")
    for name in newer:
        del state["plan"][name]
    del state["faces"], state["plan"]["degradation"]["strength"]
    torch.save(state, tmp_path / STATE_NAME)
    assert trainer.resume(tmp_path)
    other = Trainer(replace(PLAN, sharpness_weight=1), smooth_faces(8), CPU)
    with pytest.raises(CheckpointError, match="sharpness_weight was 0, now 1"):
        other.resume(tmp_path)
