"""A training run: its start, that it gets better, exact resuming, what is refused."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import torch
from compilers import no_compiler
from training_faces import CONFIG, smooth_faces

from gpen_core import GPEN, CheckpointError, GPENConfig, MismatchError
from gpen_core.checkpoints.tensor_files import read_tensor_file
from gpen_core.errors import DeviceError, TrainingError
from gpen_core.evaluation.scores import evaluate
from gpen_core.training.discriminator import load_discriminator
from gpen_core.training.identity import start_as_identity
from gpen_core.training.loop import run_training
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME
from gpen_core.training.trainer import Trainer

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


def assert_equal(found, expected, where="state"):
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


def test_a_fresh_network_starts_as_the_identity():
    torch.manual_seed(0)
    model = GPEN(CONFIG)
    start_as_identity(model)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert (model(x) - x).abs().max() < 1e-6


def test_starting_as_the_identity_says_what_it_needs():
    with pytest.raises(ValueError, match="at least 6"):
        start_as_identity(GPEN(replace(CONFIG, widths=(16, 16, 16, 16, 4))))


@pytest.mark.parametrize("plan", [PLAN, MUON], ids=["adam", "muon"])
def test_training_for_a_few_dozen_steps_brings_faces_nearer_to_the_clean_ones(plan):
    faces = smooth_faces(8)
    trainer = Trainer(plan, faces, CPU)
    for _ in range(plan.steps):
        trainer.step()
    scores = evaluate(lambda x: trainer.ema(x * 2 - 1) / 2 + 0.5, faces)
    assert scores.output_psnr > scores.input_psnr + 0.1, str(scores)


@pytest.mark.parametrize("plan", [PLAN, MUON, ADVERSARIAL], ids=["plain", "muon", "adversarial"])
def test_resuming_gives_the_very_same_weights(tmp_path, plan):
    plan = replace(plan, r1_every=4)
    faces = smooth_faces(8)
    whole = Trainer(plan, faces, CPU)
    course = [whole.step() for _ in range(6)]
    first = Trainer(plan, faces, CPU)
    for _ in range(3):
        first.step()
    first.save(tmp_path)
    second = Trainer(plan, faces, CPU)
    assert second.resume(tmp_path)
    assert [second.step() for _ in range(3)] == course[3:]
    second.save(tmp_path / "second")
    whole.save(tmp_path / "whole")
    found, expected = (
        read_tensor_file(tmp_path / name / STATE_NAME).contents for name in ("second", "whole")
    )
    assert_equal(found, expected)


def test_sharper_targets_make_sharper_faces():
    faces = smooth_faces(8)
    sharpness = []
    for amount in (0, 3):
        trainer = Trainer(replace(PLAN, target_sharpening=amount), faces, CPU)
        for _ in range(PLAN.steps):
            trainer.step()
        scores = evaluate(lambda x, ema=trainer.ema: ema(x * 2 - 1) / 2 + 0.5, faces)
        sharpness.append(scores.output_sharpness)
    assert sharpness[1] > sharpness[0] * 1.02, sharpness


def test_resuming_another_plan_is_refused_and_named(tmp_path):
    faces = smooth_faces(8)
    Trainer(PLAN, faces, CPU).save(tmp_path)
    other = Trainer(replace(PLAN, batch_size=2), faces, CPU)
    with pytest.raises(CheckpointError, match=r"another batch_size: batch_size was 4, now 2"):
        other.resume(tmp_path)
    longer = Trainer(replace(PLAN, steps=80), faces, CPU)
    assert longer.resume(tmp_path)


def test_a_state_of_a_gpu_is_gone_on_with_as_on_the_device_there_is(tmp_path):
    first, second = (Trainer(PLAN, smooth_faces(8), CPU) for _ in range(2))
    first.step()
    first.save(tmp_path)
    state = torch.load(tmp_path / STATE_NAME)
    for group in state["optimizer"]["param_groups"]:
        group["fused"] = True  # as `adam` has it there
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


def test_other_faces_than_those_a_run_began_with_are_refused(tmp_path):
    Trainer(PLAN, smooth_faces(8), CPU).save(tmp_path)
    with pytest.raises(CheckpointError, match="trained on 8 faces, and now there are 9"):
        Trainer(PLAN, smooth_faces(9), CPU).resume(tmp_path)


def state_of(folder):
    return read_tensor_file(folder / STATE_NAME).contents


@pytest.mark.parametrize("plan", [PLAN, MUON, ADVERSARIAL], ids=["plain", "muon", "adversarial"])
def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(tmp_path, plan):
    whole = Trainer(plan, smooth_faces(8), CPU)
    course = [whole.step() for _ in range(4)]
    first = Trainer(plan, smooth_faces(8), CPU)
    step = first.optimizer.step

    def interrupted():
        step()
        if first.steps_done == 1:
            signal.raise_signal(signal.SIGINT)

    first.optimizer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        run_training(first, tmp_path)
    assert state_of(tmp_path)["steps_done"] == 2
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
def test_a_full_disk_is_named_and_keeps_what_was_saved(tmp_path, monkeypatch, error):
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


def test_training_against_a_discriminator_brings_faces_nearer_to_the_clean_ones():
    faces = smooth_faces(8)
    trainer = Trainer(ADVERSARIAL, faces, CPU)
    course = [trainer.step() for _ in range(PLAN.steps)]
    assert {"l1", "ssim", "sharpness", "adversarial", "features", "discriminator"} < set(course[1])
    assert "r1" in course[0]
    weights = ADVERSARIAL.loss_weights
    assert course[1]["loss"] == pytest.approx(sum(w * course[1][k] for k, w in weights.items()))
    scores = evaluate(lambda x: trainer.ema(x * 2 - 1) / 2 + 0.5, faces)
    assert scores.output_psnr > scores.input_psnr + 0.1, str(scores)


def test_a_state_of_before_there_was_a_discriminator_can_be_resumed(tmp_path):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    trainer.save(tmp_path)
    state = read_tensor_file(tmp_path / STATE_NAME).contents
    later = ("sharpness_weight", "target_sharpening", "adversarial_weight", "r1_weight", "start")
    for name in later:
        del state["plan"][name]
    del state["faces"], state["plan"]["degradation"]["strength"]
    torch.save(state, tmp_path / STATE_NAME)
    assert trainer.resume(tmp_path)
    other = Trainer(replace(PLAN, sharpness_weight=1), smooth_faces(8), CPU)
    with pytest.raises(CheckpointError, match="sharpness_weight was 0, now 1"):
        other.resume(tmp_path)


def test_fine_tuning_begins_with_the_weights_given_and_leaves_them_as_they_are():
    torch.manual_seed(3)
    given = GPEN(CONFIG).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    trainer = Trainer(PLAN, smooth_faces(8), CPU, model=given)
    assert_equal(dict(trainer.model.state_dict()), before)
    trainer.step()
    assert_equal(dict(given.state_dict()), before)
    assert not torch.equal(trainer.model.ecd0[0][0].weight, given.ecd0[0][0].weight)


def test_the_discriminator_of_another_run_can_be_gone_on_with(tmp_path):
    trainer = Trainer(ADVERSARIAL, smooth_faces(8), CPU)
    trainer.step()
    trainer.save(tmp_path)
    loaded = load_discriminator(tmp_path / STATE_NAME)
    assert loaded.widths == ADVERSARIAL.discriminator_widths
    second = Trainer(ADVERSARIAL, smooth_faces(8), CPU, discriminator=loaded)
    assert trainer.adversary is not None
    assert second.adversary is not None
    expected = trainer.adversary.discriminator.state_dict()
    assert_equal(dict(second.adversary.discriminator.state_dict()), dict(expected))


def test_networks_that_enlarge_are_refused():
    with pytest.raises(MismatchError, match="in_size = out_size"):
        Trainer(replace(PLAN, config=GPENConfig(32, 64, (8,) * 5)), smooth_faces(2), CPU)


def test_a_loss_that_is_not_finite_stops_training_and_keeps_what_was_saved(tmp_path):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    run_training(trainer, tmp_path, minutes=0)
    kept = (tmp_path / STATE_NAME).read_bytes()
    with torch.no_grad():
        trainer.model.ecd0[0][0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"At step 2 loss, l1, ssim became NaN or infinite"):
        run_training(trainer, tmp_path)
    assert (tmp_path / STATE_NAME).read_bytes() == kept


def test_losses_read_late_are_those_read_at_once(tmp_path):
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
def test_losses_are_read_before_a_state_is_saved(tmp_path, stopped):
    trainer = Trainer(PLAN, smooth_faces(8), CPU)
    run_training(trainer, tmp_path, minutes=0)
    kept = (tmp_path / STATE_NAME).read_bytes()
    advance = trainer.advance

    def spoilt():
        if stopped and trainer.steps_done == 5:
            raise InterruptedError
        if trainer.steps_done == 3:
            with torch.no_grad():
                trainer.model.ecd0[0][0].weight.fill_(float("nan"))
        return advance()

    trainer.advance = spoilt
    with pytest.raises(TrainingError, match=r"At step 4 loss"):
        run_training(trainer, tmp_path, read_every=10, save_every=0)
    assert (tmp_path / STATE_NAME).read_bytes() == kept


def test_a_perceptual_loss_counts_where_the_plan_gives_it_weight():
    class Brightness(torch.nn.Module):
        def forward(self, output, target):
            return (output.mean() - target.mean()).square() + 3

    for weight, expected in ((0.5, 1.5), (0, 0)):
        plan = replace(PLAN, ssim_weight=0, perceptual_weight=weight, perceptual="a file")
        course = Trainer(plan, smooth_faces(8), CPU, perceptual=Brightness()).step()
        assert ("perceptual" in course) == (weight > 0)
        assert course["loss"] - course["l1"] == pytest.approx(expected, abs=0.05)


def test_a_perceptual_loss_with_weight_must_be_given():
    plan = replace(PLAN, perceptual_weight=0.1, perceptual="a file")
    with pytest.raises(MismatchError, match="load_perceptual_loss"):
        Trainer(plan, smooth_faces(2), CPU)


@pytest.mark.filterwarnings("ignore")  # of torch.compile about itself
def test_compiling_without_a_compiler_is_refused_before_training(monkeypatch):
    monkeypatch.setattr("gpen_core.devices._twice", lambda x: x + x)
    with no_compiler(), pytest.raises(DeviceError, match=r"needs a C\+\+ compiler.*apt install"):
        Trainer(replace(PLAN, compiled=True), smooth_faces(8, 64), CPU)
