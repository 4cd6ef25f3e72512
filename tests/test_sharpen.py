"""Sharpening after the network: where it acts, and how a checkpoint stores its amount."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_faces import smooth_faces

from gpen_core import CheckpointError, MismatchError, write_image
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.checkpoints.converting import convert_checkpoint
from gpen_core.checkpoints.loading import load_gpen, read_checkpoint
from gpen_core.checkpoints.metadata import SHARPEN_KEY
from gpen_core.checkpoints.mixing import mix_checkpoints
from gpen_core.checkpoints.tensor_files import write_safetensors
from gpen_core.cli import main
from gpen_core.restore import restore_pixels
from gpen_core.sharpen import FULL_CHANGE, sharpen_restored, unsharp_mask
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import WEIGHTS_NAME
from gpen_core.training.trainer import Trainer
from gpen_core.training.widen import widen

CONFIG = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=8, mapping_layers=1)
CPU = torch.device("cpu")


@pytest.fixture
def plain(tmp_path):
    """A checkpoint of a small network without an amount of sharpening."""
    torch.manual_seed(0)
    write_safetensors(GPEN(CONFIG).state_dict(), tmp_path / "plain.safetensors")
    return tmp_path / "plain.safetensors"


@pytest.fixture
def sharp(plain, tmp_path):
    """The same checkpoint with the amount 5."""
    return convert_checkpoint(plain, tmp_path / "sharp.safetensors", sharpen=5)


def test_crops_are_sharpened_where_the_network_changed_them():
    restored = smooth_faces(2) / 255 * 0.8 + 0.1
    before = restored.clone()
    before[..., :32] += 2 * FULL_CHANGE  # the left half changed by 12/255
    found = sharpen_restored(restored, before, 5)
    left, right = slice(None, 32 - 9), slice(32 + 9, None)
    masked = unsharp_mask(restored, 5)
    assert (masked - restored)[..., right].abs().max() > 0.01
    torch.testing.assert_close(found[..., left], masked[..., left], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[..., right], restored[..., right], rtol=0, atol=1e-6)


def test_a_small_change_gets_a_share_of_the_mask():
    restored = smooth_faces(1) / 255 * 0.8 + 0.1
    found = sharpen_restored(restored, restored + FULL_CHANGE / 4, 5)
    expected = restored + 0.25 * (unsharp_mask(restored, 5) - restored)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert sharpen_restored(restored, restored * 0, 0) is restored


@pytest.mark.parametrize(("in_size", "size"), [(32, 32), (32, 50), (16, 16), (16, 32)])
def test_restore_sharpens_by_the_amount_of_the_model(in_size, size):
    torch.manual_seed(0)
    model = GPEN(replace(CONFIG, in_size=in_size)).eval()
    crops = torch.rand(3, 3, size, size)
    network = restore_pixels(model, crops)
    model.sharpen = 5
    found = restore_pixels(model, crops, batch_size=2)
    before = crops
    if size != 32:
        before = restore_pixels(model, crops, strength=0)
    assert (found - network).abs().max() > 0.005
    torch.testing.assert_close(found, sharpen_restored(network, before, 5), rtol=0, atol=1e-5)
    half = restore_pixels(model, crops, strength=0.5)
    torch.testing.assert_close(half, (found + before) / 2, rtol=0, atol=1e-5)


def test_a_checkpoint_stores_the_amount_and_conversion_keeps_it(plain, sharp, tmp_path, capsys):
    assert load_gpen(plain, device="cpu").sharpen == 0
    assert load_gpen(sharp, device="cpu").sharpen == 5
    again = convert_checkpoint(sharp, tmp_path / "again.safetensors", dtype="bf16")
    assert read_checkpoint(again).sharpen == 5
    ended = tmp_path / "ended.safetensors"
    assert main(["convert", str(again), str(ended), "--sharpen", "0"]) == 0
    assert read_checkpoint(ended).sharpen == 0
    assert set(load_file(sharp)) == set(load_file(plain)), "the tensors have the names of any GPEN"
    capsys.readouterr()
    assert main(["inspect", str(sharp)]) == 0
    assert "sharpening  5, after the network" in capsys.readouterr().out


@pytest.mark.parametrize("amount", ["-1", "101", "nan"])
def test_an_amount_out_of_range_is_refused(plain, tmp_path, capsys, amount):
    target = tmp_path / "out.safetensors"
    with pytest.raises(MismatchError, match="sharpen must lie in 0 … 100"):
        convert_checkpoint(plain, target, sharpen=float(amount))
    with pytest.raises(SystemExit):
        main(["convert", str(plain), str(target), f"--sharpen={amount}"])
    assert "must lie in 0 … 100" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize("text", ["much", "-1", "1e9", "nan", ""])
def test_a_checkpoint_with_a_nonsensical_amount_is_refused(plain, tmp_path, text):
    path = tmp_path / "odd.safetensors"
    save_file(load_file(plain), path, metadata={SHARPEN_KEY: text})
    with pytest.raises(CheckpointError, match=r"odd\.safetensors.*expected a number from 0 to 100"):
        read_checkpoint(path)


def test_a_mix_stores_the_mean_amount(plain, sharp, tmp_path):
    def mix(*shares: float) -> float:
        target = tmp_path / "mix.safetensors"
        mix_checkpoints([plain, sharp], target, shares=shares, overwrite=True)
        return read_checkpoint(target).sharpen

    assert mix(0.25, 0.75) == pytest.approx(3.75)
    assert mix(1.5, -0.5) == 0
    assert mix(-40, 41) == 100


def test_training_keeps_the_amount_of_its_start(sharp, tmp_path):
    model = load_gpen(sharp, device="cpu")
    trainer = Trainer(
        TrainingPlan(CONFIG, steps=1, batch_size=2), smooth_faces(2, 32), CPU, model=model
    )
    trainer.save(tmp_path)
    assert read_checkpoint(tmp_path / WEIGHTS_NAME).sharpen == 5
    data = tmp_path / "faces"
    data.mkdir()
    write_image(data / "face.png", smooth_faces(1, 32) / 255)
    words = ["train", "--data", str(data), "--from", str(sharp), "--out", str(tmp_path / "tuned")]
    assert main([*words, "--steps", "1", "--batch-size", "1", "--device", "cpu"]) == 0
    assert read_checkpoint(tmp_path / "tuned" / WEIGHTS_NAME).sharpen == 5
    assert widen(model, (8, 8, 8, 16), seed=0).sharpen == 5
