"""`gpen train`, as typed, and the commands of its guide."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gpen_core import GPEN, GPENConfig, load_gpen, write_image
from gpen_core.cli import main
from gpen_core.commands.evaluate import add_arguments as add_evaluate_arguments
from gpen_core.commands.train import READ_EVERY, _choose_read_every
from gpen_core.commands.train_options import add_train_arguments
from gpen_core.commands.train_request import read_request
from gpen_core.commands.weights import add_convert_arguments, add_mix_arguments
from gpen_core.training.discriminator import load_discriminator
from gpen_core.training.journal import LOSSES_NAME, SAMPLES_NAME, SCORES_NAME
from gpen_core.training.optimizers import OPTIMIZERS
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME

NETWORK = ["--size", "64", "--widths", "16,16,16,16,16"]
NETWORK += ["--style-dim", "16", "--mapping-layers", "2"]
CONFIG = GPENConfig(64, 64, (16,) * 5, style_dim=16, mapping_layers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 100", "in_size must be a power of two from 8 up, found 100"),
        ("--size 64 --widths 16,16", "widths must name the channels at"),
        ("--size 64 --widths 16,16,16,16,4", "at least 6 channels"),
        ("--widths 16,some", "invalid widths value"),
        ("--degradation cruel", "must be one of paper, second-order, mixed"),
        ("--adversarial-weight -1", "must be at least 0, found -1"),
        ("--steps 0", "must be at least 1, found 0"),
        ("--workers -1", "must be at least 0, found -1"),
        ("--workers 2.5", "invalid count value"),
        ("--samples -1", "must be at least 0, found -1"),
        ("--discriminator-widths 8,8,8,8,8", "there is no discriminator"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused_without_a_traceback(
    faces_folder, tmp_path, capsys, options, message
):
    words = ["train", "--data", str(faces_folder), "--out", str(tmp_path / "run"), *options.split()]
    try:
        status = main([*words, "--device", "cpu"])
    except SystemExit as stopped:  # argparse refuses with SystemExit
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_trains_resumes_and_its_weights_can_be_evaluated(faces_folder, tmp_path, capsys):
    common = ["train", "--data", str(faces_folder), "--split", "train", *NETWORK]
    common += ["--out", str(tmp_path / "run"), "--batch-size", "2", "--device", "cpu"]
    assert main([*common, "--steps", "2"]) == 0
    assert "4 faces" in capsys.readouterr().out
    records = ["--log-every", "2", "--sample-every", "2", "--samples", "1"]
    with (tmp_path / "INDEX.tsv").open("a", encoding="utf-8") as index:
        index.write("\nfaces/broken.png\t\tval\n")
    (faces_folder / "broken.png").write_bytes(b"nothing")
    assert main([*common, *records, "--sample-split", "val", "--steps", "4", "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert "resuming at step 2" in printed.out
    assert "broken.png" in printed.err
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {STATE_NAME, WEIGHTS_NAME, LOSSES_NAME, SCORES_NAME, SAMPLES_NAME}

    weights = tmp_path / "run" / WEIGHTS_NAME
    assert load_gpen(weights, device="cpu").config == CONFIG
    words = ["evaluate", "--data", str(faces_folder), "--model", str(weights), "--device", "cpu"]
    assert main(words) == 0
    assert "24 pairs: PSNR" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_fine_tunes_against_a_discriminator_and_resumes(faces_folder, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["train", "--data", str(faces_folder), "--batch-size", "2", "--device", "cpu"]
    losses = ["--sharpness-weight", "0.5", "--adversarial-weight", "0.005"]
    losses += ["--feature-weight", "0.05", "--sharpen-targets", "0.5"]
    losses += ["--discriminator-widths", "8,8,8,8,8"]
    assert main([*common, *NETWORK, *losses, "--steps", "1", "--out", str(first)]) == 0
    assert "from identity" in capsys.readouterr().out

    tune = [*common, *losses, "--out", str(second), "--from", str(first / WEIGHTS_NAME)]
    tune += ["--discriminator", str(first / STATE_NAME), "--teacher", str(first / WEIGHTS_NAME)]
    assert main([*tune, "--steps", "1"]) == 0
    assert "from weights.safetensors (SHA-256 " in capsys.readouterr().out
    assert main([*tune, "--steps", "2"]) == 0
    assert "resuming at step 1" in capsys.readouterr().out
    assert load_gpen(second / WEIGHTS_NAME, device="cpu").config == CONFIG
    assert load_discriminator(second / STATE_NAME).widths == (8,) * 5

    assert main([*tune, "--size", "64"]) == 2
    assert "--size cannot be chosen with --from" in capsys.readouterr().err
    torch.save({"nothing": torch.zeros(1)}, tmp_path / "other.pth")
    for option, complaint in (
        ("--discriminator", "holds no discriminator"),
        ("--perceptual", "is not a VGG"),
        ("--from", "Not a GPEN checkpoint"),
        ("--teacher", "Not a GPEN checkpoint"),
    ):
        assert main([*tune, option, str(tmp_path / "other.pth")]) == 2
        assert complaint in capsys.readouterr().err
    assert (
        main([*common, "--out", str(second), "--sharpness-limit", "2", "--sharpen-targets", "1"])
        == 2
    )
    assert "add --teacher and --sharpen-targets" in capsys.readouterr().err
    plain = [*common, "--out", str(second), "--discriminator", str(first / STATE_NAME)]
    assert main(plain) == 2
    assert "add --adversarial-weight" in capsys.readouterr().err


def test_a_run_widens_the_network_that_it_starts_from(faces_folder, tmp_path, capsys):
    first, wide = tmp_path / "first", tmp_path / "wide"
    common = ["train", "--data", str(faces_folder), "--batch-size", "2", "--device", "cpu"]
    common += ["--steps", "1"]
    assert main([*common, *NETWORK, "--out", str(first)]) == 0
    common += ["--from", str(first / WEIGHTS_NAME), "--out", str(wide)]
    assert main([*common, "--widths", "16,16,16,16,8"]) == 2
    assert "more channels from 8 px up" in capsys.readouterr().err
    for _ in range(2):  # the second time it resumes
        assert main([*common, "--widths", "16,16,16,16,24"]) == 0
    assert "widened" in capsys.readouterr().out
    config = load_gpen(wide / WEIGHTS_NAME, device="cpu").config
    assert config == replace(CONFIG, widths=(16, 16, 16, 16, 24))


def test_a_checkpoint_in_the_published_form_is_fine_tuned(faces_folder, tmp_path):
    # Like GPEN-BFR-256 except for its widths: same latent, mapping, container and precision.
    config = GPENConfig.published(256, channel_multiplier=1, narrow=1 / 32)
    torch.save({"g_ema": GPEN(config).state_dict(), "args": 1}, tmp_path / "published.pth")
    words = ["train", "--data", str(faces_folder), "--out", str(tmp_path / "run"), "--steps", "1"]
    words += ["--device", "cpu", "--batch-size", "1", "--adversarial-weight", "0.01"]
    write_image(faces_folder / "large.png", torch.rand(1, 3, 256, 256))
    assert main([*words, "--from", str(tmp_path / "published.pth")]) == 0
    before, after = (
        load_gpen(tmp_path / "published.pth"),
        load_gpen(tmp_path / "run" / WEIGHTS_NAME),
    )
    assert after.config == config
    change = (after.ecd0[0][0].weight - before.ecd0[0][0].weight).abs().max()
    assert 0 < change < 0.01


def test_losses_of_a_gpu_are_read_seldom_but_at_every_record():
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)

    def every(options: str, device: str) -> int:
        words = ["--data", "faces", "--out", "run", *options.split()]
        return _choose_read_every(parser.parse_args(words), torch.device(device))

    assert every("", "cuda") == READ_EVERY > 1
    assert every("--log-every 15 --sample-every 25", "cuda") == 5
    assert every("", "cpu") == 1


def test_the_network_follows_from_its_name_and_size():
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)

    def config(options: str) -> GPENConfig:
        words = ["--data", "faces", "--out", "run", *options.split()]
        return read_request(parser.parse_args(words)).plan.config

    assert config("") == config("--size 256 --network small")
    assert config("").widths == (128, 128, 128, 128, 64, 32, 16)
    assert min(config("--size 2048 --network small").widths) == 8
    for size in (512, 1024, 2048):
        assert config(f"--size {size}") == GPENConfig.published(size)
    published = GPENConfig.published(256, channel_multiplier=1, narrow=0.5)
    assert config("--network published") == published
    assert config("--style-dim 64").style_dim == 64


def test_the_options_of_the_optimizer_reach_the_plan():
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)

    def plan(options: str) -> TrainingPlan:
        words = ["--data", "faces", "--out", "run", "--steps", "1000", *options.split()]
        return read_request(parser.parse_args(words)).plan

    default = TrainingPlan(plan("").config, steps=1000)
    assert plan("") == default
    muon = plan("--optimizer muon --decay 0.5 --ema-decay 0.99")
    assert muon == replace(default, optimizer="muon", decay=0.5, ema_decay=0.99)
    assert [muon.learning_rate_factor(step) for step in (0, 499, 750)] == [0.02, 1, 0.5]
    assert plan("--decay 0").learning_rate_factor(999) == 1
    assert {plan(f"--optimizer {name}").optimizer for name in OPTIMIZERS} == set(OPTIMIZERS)


def test_the_guide_shows_commands_and_options_that_exist():
    guide = Path(__file__).resolve().parents[2] / "docs" / "training.md"
    text = guide.read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    lines = text.replace("\\\n", " ")
    shown = re.findall(r"^(?:gpen|torchrun .*gpen_core) train (.*)$", lines, re.MULTILINE)
    assert len(shown) == 3
    for words in shown:
        parser.parse_args(shlex.split(words))
    options = set(parser.format_help().split())
    for command, add_arguments in (
        ("mix", add_mix_arguments),
        ("convert", add_convert_arguments),
        ("evaluate", add_evaluate_arguments),
    ):
        other = argparse.ArgumentParser()
        add_arguments(other)
        (words,) = re.findall(rf"^gpen {command} (.*)$", lines, re.MULTILINE)
        other.parse_args(shlex.split(words))
        options |= set(other.format_help().split())
    options |= {"--standalone", "--nproc-per-node"}
    options |= {"--logdir", "--model", "--help"}
    named = set(re.findall(r"--[a-z0-9][a-z0-9-]*", text))
    assert not {name for name in named if not any(name in option for option in options)}
