"""The records of a run: losses and scores that survive interruptions, sheets, TensorBoard."""

from __future__ import annotations

import csv
import sys

import pytest
import torch
from training_faces import smooth_faces

from gpen_core import GPENConfig, load_gpen, read_image
from gpen_core.errors import TrainingError
from gpen_core.evaluation.scores import ROUNDS_PER_FACE
from gpen_core.training.journal import LOSSES_NAME, SAMPLES_NAME, SCORES_NAME, Journal, Table
from gpen_core.training.loop import run_training
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME
from gpen_core.training.trainer import Trainer

CPU = torch.device("cpu")
FACES = smooth_faces(8, 32)
PLAN = TrainingPlan(
    GPENConfig(32, 32, (8,) * 4, style_dim=8, mapping_layers=1),
    steps=8,
    batch_size=4,
    sharpness_weight=0.5,
    adversarial_weight=0.005,
    feature_weight=0.05,
)


def read(path):
    with path.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def test_an_interrupted_run_has_each_line_once_and_every_loss(tmp_path):
    first = Trainer(PLAN, FACES, CPU)
    run_training(first, tmp_path, minutes=0)  # one step
    state = (tmp_path / STATE_NAME).read_bytes()
    journal = Journal(first, tmp_path, log_every=2)

    def stop(step: int, losses: dict[str, float]) -> None:
        journal.record(step, losses)
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(first, tmp_path, on_step=stop)
    assert [row["step"] for row in read(tmp_path / LOSSES_NAME)] == ["2", "4"]
    (tmp_path / STATE_NAME).write_bytes(state)  # as if it was killed before it saved steps 2 to 5
    second = Trainer(PLAN, FACES, CPU)
    assert second.resume(tmp_path)
    run_training(second, tmp_path, on_step=Journal(second, tmp_path, log_every=2).record)
    rows = read(tmp_path / LOSSES_NAME)
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    names = ["learning_rate", "loss", *PLAN.loss_weights, "discriminator", "r1"]
    assert list(rows[0]) == ["step", *names]
    assert all(float(rows[0][name]) > 0 for name in names if name != "r1")
    assert load_gpen(tmp_path / WEIGHTS_NAME, device="cpu").config == PLAN.config


def test_samples_are_scored_every_so_many_steps(tmp_path):
    trainer = Trainer(PLAN, FACES, CPU)
    journal = Journal(trainer, tmp_path, samples=FACES[:3], sample_every=4)
    rows = []
    for step in range(1, 9):
        journal.record(step, {"loss": 1.0})
        rows.append(sorted(path.name for path in (tmp_path / SAMPLES_NAME).glob("*")))
    assert rows[2:4] == [[], ["0000004.jpg"]]
    assert rows[-1] == ["0000004.jpg", "0000008.jpg"]
    sheet = read_image(tmp_path / SAMPLES_NAME / "0000004.jpg")
    assert sheet.shape[3] >= 3 * 32
    scores = read(tmp_path / SCORES_NAME)
    assert [row["step"] for row in scores] == ["4", "8"]
    assert int(scores[0]["pairs"]) == 3 * ROUNDS_PER_FACE
    # The network starts as the identity: the output equals the input.
    assert float(scores[0]["output_psnr"]) == pytest.approx(float(scores[0]["input_psnr"]), abs=0.1)


def test_scoring_samples_does_not_change_the_training(tmp_path):
    plain, watched = (Trainer(PLAN, FACES, CPU) for _ in range(2))
    journal = Journal(watched, tmp_path, samples=FACES[:1], sample_every=1)
    for step in range(1, 3):
        expected, found = plain.step(), watched.step()
        assert found == expected
        journal.record(step, found)
    assert watched.model.training


def test_a_step_recorded_late_has_the_learning_rate_of_its_time(tmp_path):
    trainer = Trainer(PLAN, FACES, CPU)
    journal = Journal(trainer, tmp_path, log_every=1)
    losses = [trainer.step() for _ in range(3)]
    for step, values in enumerate(losses, 1):
        journal.record(step, values)
    rates = [float(row["learning_rate"]) for row in read(tmp_path / LOSSES_NAME)]
    expected = [PLAN.learning_rate * PLAN.learning_rate_factor(step) for step in range(3)]
    assert rates == pytest.approx(expected)


def test_a_table_drops_lines_of_lost_work_and_damaged_ones_only(tmp_path):
    path = tmp_path / "table.tsv"
    table = Table(path, ["a", "b"], step=0)
    for step in (1, 2, 3):
        table.append(step, {"a": step / 3})
    again = Table(path, ["a", "b"], step=2)
    again.append(3, {"b": 7})
    kept = "step\ta\tb\n1\t0.333333\t\n2\t0.666667\t\n3\t\t7\n"
    assert path.read_text() == kept
    with path.open("ab") as file:
        file.write(
            b"4\t1\n\0\0\0\0\xff\t1\t2\t3\n"
        )  # a line cut short, then zeros as a power cut leaves them
    Table(path, ["a", "b"], step=9)
    assert path.read_text() == kept + "4\t1\t\n"
    path.write_text("step\tb\n1\t7\n")  # from a version with fewer columns
    Table(path, ["a", "b"], step=9)
    assert path.read_text() == "step\ta\tb\n1\t\t7\n"


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match=r"file cannot be the folder of a run"):
        Journal(Trainer(PLAN, FACES, CPU), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_tensorboard_gets_scalars_and_sheets(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra `train`: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = Trainer(PLAN, FACES, CPU)
    options = {"log_every": 1, "samples": FACES[:1], "sample_every": 2, "board": True}
    journal = Journal(trainer, tmp_path, **options)
    for step in (1, 2):
        journal.record(step, {"loss": float(step)})
    journal.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss/loss")] == [1, 2]
    assert [event.step for event in events.Images("degraded, restored, clean")] == [2]
    assert events.Scalars("score/output_psnr")[0].value > 5


def test_asking_for_tensorboard_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r'pip install "gpen-restore\[train\]"'):
        Journal(Trainer(PLAN, FACES, CPU), tmp_path, board=True)
