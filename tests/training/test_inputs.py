"""The inputs of other tasks: grey faces, and faces with white holes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces
from training_plans import CPU, PLAN

from gpen_core import CheckpointError, GPENConfig, MismatchError, load_gpen
from gpen_core.training.inputs import draw_holes, make_inputs
from gpen_core.training.pairs import PairLoader
from gpen_core.training.state import WEIGHTS_NAME
from gpen_core.training.trainer import Trainer

TINY = GPENConfig(32, 32, (8,) * 4, style_dim=8, mapping_layers=1)


def load_pair(task: str, part: slice = slice(0, 4)):
    plan = replace(PLAN, task=task)
    faces = smooth_faces(8, plan.config.in_size)
    return PairLoader(plan, faces, CPU, part=part, workers=0).load(3)


def test_colourising_learns_colours_from_grey():
    clean, given = load_pair("colorize")
    assert torch.equal(given[:, 0], given[:, 1])
    assert torch.equal(given[:, 1], given[:, 2])
    assert (clean.amax(dim=1) - clean.amin(dim=1)).mean() > 0.02


def test_inpainting_learns_from_white_holes_that_no_other_face_changes():
    _, given = load_pair("inpaint")
    _, whole = load_pair("restore")
    white = (given == 1).all(dim=1)
    assert 0.02 < white.float().mean() < 0.6
    assert torch.equal(given.movedim(1, -1)[~white], whole.movedim(1, -1)[~white])
    part = load_pair("inpaint", slice(1, 3))
    assert torch.equal((part.degraded == 1).all(dim=1), white[1:3])


def test_holes_are_rectangles_and_strokes_of_many_sizes():
    holes = draw_holes(200, 64, seed=1)
    shares = holes.float().mean(dim=(1, 2, 3))
    assert (shares > 0).float().mean() > 0.95
    assert 0.05 < shares.mean() < 0.35
    assert shares.std() > 0.03
    assert torch.equal(holes, draw_holes(200, 64, seed=1))
    assert not torch.equal(holes, draw_holes(200, 64, seed=2))


def test_restoring_takes_the_faces_as_they_are():
    faces = torch.rand(2, 3, 8, 8)
    assert make_inputs(faces, "restore", seed=0) is faces


@pytest.mark.parametrize("task", ["colorize", "inpaint"])
def test_a_short_training_changes_the_network_and_names_its_task_in_the_weights(task, tmp_path):
    plan = replace(PLAN, config=TINY, task=task, steps=2, batch_size=2)
    faces = smooth_faces(4, 32)
    trainer = Trainer(plan, faces, CPU)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for _ in range(2):
        assert 0 < trainer.step()["loss"] < 1
    assert any(not torch.equal(v, before[n]) for n, v in trainer.model.state_dict().items())
    trainer.save(tmp_path)
    assert load_gpen(tmp_path / WEIGHTS_NAME, device="cpu").task == task
    with pytest.raises(CheckpointError, match=f"another task: task was {task}, now restore"):
        Trainer(replace(plan, task="restore"), faces, CPU).resume(tmp_path)


def test_a_task_without_training_is_refused():
    with pytest.raises(MismatchError, match="restore, colorize, inpaint, found 'segment-to-face'"):
        Trainer(replace(PLAN, task="segment-to-face"), smooth_faces(8, 64), CPU)
