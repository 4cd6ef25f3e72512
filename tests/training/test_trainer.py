"""A training run: faces come closer to the clean ones; networks are copied, losses weighted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from compilers import no_compiler
from training_faces import CONFIG, smooth_faces
from training_plans import ADVERSARIAL, CPU, MUON, PLAN, assert_equal

from gpen_core import GPEN, GPENConfig, MismatchError
from gpen_core.errors import DeviceError
from gpen_core.evaluation.scores import evaluate
from gpen_core.training.discriminator import load_discriminator
from gpen_core.training.state import STATE_NAME
from gpen_core.training.trainer import Trainer


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(PLAN, id="adam"),
        pytest.param(MUON, id="muon", marks=pytest.mark.slow),
    ],
)
def test_a_few_dozen_steps_bring_faces_closer_to_the_clean_ones(plan):
    crops = smooth_faces(8)
    trainer = Trainer(plan, crops, CPU)
    for _ in range(plan.steps):
        trainer.step()
    scores = evaluate(lambda x: trainer.ema(x * 2 - 1) / 2 + 0.5, crops)
    assert scores.output_psnr > scores.input_psnr + 0.1, str(scores)


@pytest.mark.slow
def test_sharper_targets_make_sharper_faces():
    crops = smooth_faces(8)
    sharpness = []
    for amount in (0, 3):
        trainer = Trainer(replace(PLAN, target_sharpening=amount), crops, CPU)
        for _ in range(PLAN.steps):
            trainer.step()
        scores = evaluate(lambda x, ema=trainer.ema: ema(x * 2 - 1) / 2 + 0.5, crops)
        sharpness.append(scores.output_sharpness)
    assert sharpness[1] > sharpness[0] * 1.02, sharpness


@pytest.mark.slow
def test_training_against_a_discriminator_brings_faces_closer_to_the_clean_ones():
    crops = smooth_faces(8)
    trainer = Trainer(ADVERSARIAL, crops, CPU)
    course = [trainer.step() for _ in range(PLAN.steps)]
    assert {"l1", "ssim", "sharpness", "adversarial", "features", "discriminator"} < set(course[1])
    assert "r1" in course[0]
    weights = ADVERSARIAL.loss_weights
    assert course[1]["loss"] == pytest.approx(sum(w * course[1][k] for k, w in weights.items()))
    scores = evaluate(lambda x: trainer.ema(x * 2 - 1) / 2 + 0.5, crops)
    assert scores.output_psnr > scores.input_psnr + 0.1, str(scores)


def test_fine_tuning_starts_from_a_copy_of_the_given_network():
    torch.manual_seed(3)
    given = GPEN(CONFIG).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    trainer = Trainer(PLAN, smooth_faces(8), CPU, model=given)
    assert_equal(dict(trainer.model.state_dict()), before)
    trainer.step()
    assert_equal(dict(given.state_dict()), before)
    assert not torch.equal(trainer.model.ecd0[0][0].weight, given.ecd0[0][0].weight)


def test_a_run_can_continue_with_the_discriminator_of_another(tmp_path):
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


def test_a_network_that_enlarges_is_refused():
    with pytest.raises(MismatchError, match="in_size = out_size"):
        Trainer(replace(PLAN, config=GPENConfig(32, 64, (8,) * 5)), smooth_faces(2), CPU)


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


@pytest.mark.filterwarnings("ignore")  # PyTorch's warnings about torch.compile
def test_compiling_without_a_compiler_is_refused_before_training(monkeypatch):
    monkeypatch.setattr("gpen_core.devices._twice", lambda x: x + x)
    with no_compiler(), pytest.raises(DeviceError, match=r"needs a C\+\+ compiler.*apt install"):
        Trainer(replace(PLAN, compiled=True), smooth_faces(8, 64), CPU)
