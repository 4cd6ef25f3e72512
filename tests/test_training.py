"""Training: reproducible degradations, a start as the identity, exact resuming, honest scores."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest
import torch

from gpen_core import GPEN, CheckpointError, GPENConfig, ImageError, load_gpen, write_image
from gpen_core.cli import main
from gpen_core.training import cli, degrade, evaluate, loop, losses
from gpen_core.training.data import draw_batch, find_faces, load_faces
from gpen_core.training.start import start_as_identity

CONFIG = GPENConfig(64, 64, (16,) * 5, style_dim=16, mapping_layers=2)
PLAN = loop.TrainingPlan(CONFIG, steps=40, batch_size=4, ssim_weight=0.1)


def smooth_faces(count: int, size: int = 64) -> torch.Tensor:
    """[count, 3, size, size] uint8: shapes with edges, cheap stand-ins for faces."""
    draw = torch.Generator().manual_seed(7)
    noise = torch.randn(count, 3, size // 8, size // 8, generator=draw)
    blobs = torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear")
    return ((blobs > 0) * 120 + blobs * 20 + 60).clamp(0, 255).byte()


@pytest.fixture
def folder(tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    for i, pixels in enumerate(smooth_faces(6)):
        write_image(faces / f"face{i}.png", pixels[None] / 255)
    rows = [f"faces/face{i}.png\t{'val' if i > 3 else 'train'}" for i in range(6)]
    (tmp_path / "INDEX.tsv").write_text("\n".join(["file\tsplit", *rows]), encoding="utf-8")
    return faces


def test_a_fresh_network_starts_as_the_identity():
    torch.manual_seed(0)
    model = GPEN(CONFIG)
    start_as_identity(model)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert (model(x) - x).abs().max() < 1e-6


def test_starting_as_the_identity_says_what_it_needs():
    with pytest.raises(ValueError, match="at least 6"):
        start_as_identity(GPEN(replace(CONFIG, widths=(16, 16, 16, 16, 4))))


def plain_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """SSIM as Wang et al. write it, box by box; [N, 1, H, W] each."""
    x, y = (image.unfold(2, 7, 1).unfold(3, 7, 1).flatten(4) for image in (x, y))
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    covariance = ((x - mean_x[..., None]) * (y - mean_y[..., None])).mean(-1)
    spread = x.var(-1, unbiased=False) + y.var(-1, unbiased=False)
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return (luminance * (2 * covariance + 9e-4) / (spread + 9e-4)).mean()


def test_the_luma_ssim_of_the_loss_is_the_published_one():
    clean = smooth_faces(2) / 255
    noisy = degrade(clean, seed=1)
    luma = [(x * torch.tensor(losses.LUMA).view(1, 3, 1, 1)).sum(1, True) for x in (noisy, clean)]
    expected = plain_ssim(*luma).item()
    assert 0.1 < expected < 0.95
    assert losses._luma_ssim(noisy, clean).item() == pytest.approx(expected, abs=1e-3)
    assert losses.reconstruction_loss(clean, clean, ssim_weight=1).item() < 1e-4


def test_training_for_a_few_dozen_steps_brings_faces_nearer_to_the_clean_ones():
    faces = smooth_faces(8)
    trainer = loop.Trainer(replace(PLAN, batch_size=8), faces, torch.device("cpu"))
    losses_seen = [trainer.step() for _ in range(PLAN.steps)]
    assert all(torch.isfinite(torch.tensor(losses_seen)))
    scores = evaluate.evaluate(lambda x: trainer.ema(x * 2 - 1) / 2 + 0.5, faces)
    assert scores.output_psnr > scores.input_psnr + 0.2, str(scores)


def test_resuming_gives_the_very_same_weights(tmp_path):
    faces = smooth_faces(8)
    whole = loop.Trainer(PLAN, faces, torch.device("cpu"))
    for _ in range(6):
        whole.step()
    first = loop.Trainer(PLAN, faces, torch.device("cpu"))
    for _ in range(3):
        first.step()
    first.save(tmp_path)
    second = loop.Trainer(PLAN, faces, torch.device("cpu"))
    assert second.resume(tmp_path)
    for _ in range(3):
        second.step()
    for expected, found in (
        (whole.model, second.model),
        (whole.ema, second.ema),
    ):
        for name, value in expected.state_dict().items():
            assert torch.equal(value, found.state_dict()[name]), name


def test_resuming_another_plan_is_refused_and_named(tmp_path):
    faces = smooth_faces(8)
    loop.Trainer(PLAN, faces, torch.device("cpu")).save(tmp_path)
    other = loop.Trainer(replace(PLAN, batch_size=2), faces, torch.device("cpu"))
    with pytest.raises(CheckpointError, match=r"another batch_size: batch_size was 4, now 2"):
        other.resume(tmp_path)
    longer = loop.Trainer(replace(PLAN, steps=80), faces, torch.device("cpu"))
    assert longer.resume(tmp_path)


def test_a_damaged_state_is_refused_by_name(tmp_path):
    trainer = loop.Trainer(PLAN, smooth_faces(8), torch.device("cpu"))
    trainer.save(tmp_path)
    state = tmp_path / loop.STATE_NAME
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=loop.STATE_NAME):
        trainer.resume(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 100", "in_size must be a power of two from 8 up, found 100"),
        ("--size 64 --widths 16,16", "widths must name the channels at"),
        ("--size 64 --widths 16,16,16,16,4", "at least 6 channels"),
        ("--widths 16,some", "invalid widths value"),
        ("--steps 0", "must be at least 1, found 0"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused_without_a_traceback(
    folder, tmp_path, capsys, options, message
):
    words = ["train", "--data", str(folder), "--out", str(tmp_path / "run"), *options.split()]
    try:
        status = main([*words, "--device", "cpu"])
    except SystemExit as stopped:  # what argparse refuses
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_augmented_faces_stay_in_range_and_follow_the_seed():
    faces = smooth_faces(8)
    batch = draw_batch(faces, 16, seed=3)
    assert batch.shape == (16, 3, 64, 64)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(batch, draw_batch(faces, 16, seed=3))
    assert not torch.equal(batch, draw_batch(faces, 16, seed=4))


def test_faces_are_found_by_split(folder):
    assert len(find_faces(folder)) == 6
    assert [p.name for p in find_faces(folder, split="val")] == ["face4.png", "face5.png"]
    with pytest.raises(ImageError, match="split 'test'"):
        find_faces(folder, split="test")
    with pytest.raises(ImageError, match="is not a folder"):
        find_faces(folder / "nowhere")


def test_bad_training_files_are_left_out_by_name(folder):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "empty.png").write_bytes(b"")
    write_image(folder / "tiny.png", torch.rand(1, 3, 8, 8))
    faces, complaints = load_faces(find_faces(folder), 64)
    assert len(faces) == 6
    assert len(complaints) == 3
    for name in ("broken.jpg", "empty.png", "tiny.png"):
        assert any(name in line for line in complaints)


def test_a_folder_without_a_usable_image_is_refused(tmp_path):
    with pytest.raises(ImageError, match="No image to train on"):
        find_faces(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"No usable training image.*broken\.png"):
        load_faces(find_faces(tmp_path), 64)


def test_scoring_the_identity_gains_nothing_and_the_truth_everything():
    faces = smooth_faces(2)
    scores = evaluate.evaluate(lambda x: x, faces)
    assert scores.pairs == 2 * evaluate.ROUNDS
    assert scores.output_psnr == scores.input_psnr
    assert scores.output_ssim == scores.input_ssim
    perfect = evaluate.evaluate(lambda _: faces[:1] / 255, faces[:1])
    assert perfect.output_psnr > 100
    assert perfect.output_ssim > 0.999


def test_the_command_trains_resumes_and_evaluates(folder, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    cli.add_train_arguments(parser)
    network = "--size 64 --widths 16,16,16,16,16 --style-dim 16 --mapping-layers 2"
    common = ["--data", str(folder), "--split", "train", "--out", str(tmp_path / "run")]
    common += [*network.split(), "--batch-size", "2", "--device", "cpu"]
    assert cli.train(parser.parse_args([*common, "--steps", "2"])) == 0
    assert "4 faces" in capsys.readouterr().out
    assert cli.train(parser.parse_args([*common, "--steps", "4"])) == 0
    assert "going on at step 2" in capsys.readouterr().out

    weights = tmp_path / "run" / loop.WEIGHTS_NAME
    assert load_gpen(weights, device="cpu").config == CONFIG
    parser = argparse.ArgumentParser()
    cli.add_evaluate_arguments(parser)
    args = parser.parse_args(["--data", str(folder), "--model", str(weights), "--device", "cpu"])
    assert cli.evaluate(args) == 0
    assert "24 pairs: PSNR" in capsys.readouterr().out
