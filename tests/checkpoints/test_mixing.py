"""Weighted means of checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.checkpoints.mixing import mix_checkpoints
from gpen_core.errors import CheckpointError, MismatchError

CONFIG = GPENConfig(8, 8, (4, 4), style_dim=3, mapping_layers=1)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three checkpoints of one network: as training saves it, in float16, in float32."""
    models = [GPEN(CONFIG).state_dict() for _ in range(3)]
    paths = [tmp_path / name for name in ("a.pth", "b.safetensors", "c.safetensors")]
    torch.save({"g_ema": models[0]}, paths[0])
    save_file({name: tensor.half() for name, tensor in models[1].items()}, paths[1])
    save_file(models[2], paths[2])
    return paths


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path)["g_ema"]


@pytest.mark.parametrize("shares", [None, [0.5, 0.25, 0.25], [1.5, 0.25, -0.75]])
def test_every_tensor_is_the_weighted_mean(
    files: list[Path], tmp_path: Path, shares: list[float] | None
) -> None:
    target = mix_checkpoints(files, tmp_path / "out.safetensors", shares=shares)
    read = [tensors(path) for path in files]
    found = load_file(target)
    assert found.keys() == read[0].keys()
    for name, tensor in found.items():
        parts = zip(shares or [1 / 3] * 3, read, strict=True)
        wanted = sum(share * state[name].double() for share, state in parts)
        torch.testing.assert_close(tensor.double(), wanted, rtol=1e-6, atol=0)


def test_the_blur_kernels_stay_exact(files: list[Path], tmp_path: Path) -> None:
    target = mix_checkpoints(files, tmp_path / "out.safetensors", shares=[0.1, 0.2, 0.7])
    kernels = {name: t for name, t in tensors(files[0]).items() if name.endswith("kernel")}
    assert kernels
    assert all(torch.equal(load_file(target)[name], t) for name, t in kernels.items())


def test_weights_take_the_dtype_of_the_first_file_or_the_given_one(
    files: list[Path], tmp_path: Path
) -> None:
    half = load_file(mix_checkpoints(files[::-1][1:], tmp_path / "half.safetensors"))
    assert {t.dtype for t in half.values()} == {torch.float16}
    full = mix_checkpoints(files, tmp_path / "full.safetensors", dtype="bf16")
    assert {t.dtype for t in load_file(full).values()} == {torch.bfloat16}


def test_a_mean_is_rounded_once_and_must_fit(files: list[Path], tmp_path: Path) -> None:
    target = mix_checkpoints(files[1:], tmp_path / "full.safetensors", dtype="fp32")
    half, full = tensors(files[1]), tensors(files[2])
    for name, tensor in load_file(target).items():
        wanted = ((half[name].double() + full[name].double()) / 2).float()
        assert torch.equal(tensor, half[name].float() if name.endswith("kernel") else wanted)
    name = "generator.style.1.weight"
    half[name][0, 0] = 6e4
    save_file(half, files[1])
    with pytest.raises(CheckpointError, match=f"`{name}` holds values too large for fp16"):
        mix_checkpoints(files[1:], tmp_path / "out.safetensors", shares=[2, -1])
    assert not (tmp_path / "out.safetensors").exists()


def test_checkpoints_and_shares_that_do_not_fit_are_refused(
    files: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "out.safetensors"
    with pytest.raises(MismatchError, match="Two or more checkpoints can be mixed, found 1"):
        mix_checkpoints(files[:1], target)
    with pytest.raises(MismatchError, match="3 checkpoints need as many shares, found 2"):
        mix_checkpoints(files, target, shares=[0.5, 0.5])
    with pytest.raises(MismatchError, match=r"must add up to 1, found 1\.1"):
        mix_checkpoints(files[:2], target, shares=[0.5, 0.6])
    other = tmp_path / "wider.pth"
    torch.save(GPEN(replace(CONFIG, widths=(4, 6))).state_dict(), other)
    with pytest.raises(MismatchError, match=r"one configuration.*a\.pth.*wider\.pth"):
        mix_checkpoints([files[0], other], target)
    with pytest.raises(CheckpointError, match=r"Only \.safetensors files are written"):
        mix_checkpoints(files, tmp_path / "out.pth")
    assert not target.exists()


def test_the_command_mixes_and_does_not_overwrite(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.safetensors"
    command = ["mix", *map(str, files), "-o", str(target), "--shares", "0.5", "0.7", "-0.2"]
    assert cli.main(command) == 0
    assert "out.safetensors (" in capsys.readouterr().out
    expected = mix_checkpoints(files, tmp_path / "again.safetensors", shares=[0.5, 0.7, -0.2])
    assert target.read_bytes() == expected.read_bytes()
    assert cli.main(command) == 2
    assert "exists" in capsys.readouterr().err
