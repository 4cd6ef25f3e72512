from __future__ import annotations

from pathlib import Path

import pytest
import torch
from networks import random_crops, random_network, relative_error

from gpen_core import cli
from gpen_core.arch import GPEN
from gpen_core.checkpoints import exporting
from gpen_core.checkpoints.exporting import export_onnx
from gpen_core.errors import CheckpointError, DeviceError
from gpen_core.runners import sessions
from gpen_core.runners.onnxruntime import OnnxRunner


@pytest.fixture(scope="module")
def network() -> GPEN:
    torch.manual_seed(2)
    return random_network()


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-5), ("fp16", 4e-3)])
def test_onnx_runtime_gives_the_network_s_faces_for_any_batch(
    dtype: str, tolerance: float, network: GPEN, tmp_path: Path
) -> None:
    target = tmp_path / "модель 顔.onnx"
    differences = export_onnx(network, target, dtype=dtype)
    assert set(differences) == {1, 2, 5}
    assert 0 < max(differences.values()) < tolerance
    run = OnnxRunner(target, torch.device("cpu"))
    for count in (1, 3):
        x = random_crops(count)
        assert relative_error(run(x), network(x)) < tolerance


def test_a_network_in_half_precision_is_exported_from_float32_weights(
    network: GPEN, tmp_path: Path
) -> None:
    half = random_network()
    half.load_state_dict(network.state_dict())
    half.set_dtype(torch.bfloat16)
    assert max(export_onnx(half, tmp_path / "half.onnx").values()) < 1e-5


def test_float16_files_are_smaller(network: GPEN, tmp_path: Path) -> None:
    for dtype in ("fp32", "fp16"):
        export_onnx(network, tmp_path / f"{dtype}.onnx", dtype=dtype)
    sizes = [(tmp_path / f"{dtype}.onnx").stat().st_size for dtype in ("fp32", "fp16")]
    assert sizes[1] < 0.85 * sizes[0]


def test_a_file_that_computes_something_else_is_never_written(
    network: GPEN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = exporting.run_session
    monkeypatch.setattr(exporting, "run_session", lambda session, x: 1.0001 * run(session, x))
    target = tmp_path / "model.onnx"
    target.write_bytes(b"before")
    with pytest.raises(CheckpointError, match=r"was not written: .* differs .* by 0\.0001"):
        export_onnx(network, target, overwrite=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_weights_that_overflow_float16_are_refused(tmp_path: Path) -> None:
    model = random_network()
    model.generator.convs[0].conv.weight.mul_(1e6)
    export_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="float16 does not suffice"):
        export_onnx(model, tmp_path / "half.onnx", dtype="fp16")
    assert not (tmp_path / "half.onnx").exists()


def test_larger_batches_are_left_out_where_memory_does_not_suffice(
    network: GPEN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = sessions.estimate_memory(network.config, 2, 100_000)
    monkeypatch.setattr(exporting, "free_system_memory", lambda: 2 * need)
    assert set(export_onnx(network, tmp_path / "model.onnx")) == {1, 2}
    monkeypatch.setattr(exporting, "free_system_memory", lambda: 0)
    assert set(export_onnx(network, tmp_path / "other.onnx")) == {1}


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str, network: GPEN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = sessions.importlib.util.find_spec
    monkeypatch.setattr(
        sessions.importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(CheckpointError, match=rf"the package {package}, .* install {package}$"):
        export_onnx(network, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_targets_and_dtypes_are_refused(network: GPEN, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Only \.onnx files are exported"):
        export_onnx(network, tmp_path / "model.pth")
    with pytest.raises(DeviceError, match="use fp32, fp16"):
        export_onnx(network, tmp_path / "model.onnx", dtype="bf16")
    with pytest.raises(CheckpointError, match="cannot be written"):
        export_onnx(network, tmp_path / "absent" / "model.onnx")
    target = tmp_path / "model.onnx"
    target.write_bytes(b"before")
    with pytest.raises(CheckpointError, match="exists already"):
        export_onnx(network, target)
    assert target.read_bytes() == b"before"


def test_the_command_says_how_exact_the_file_is(
    network: GPEN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "model.pth", tmp_path / "model.onnx"
    torch.save(network.state_dict(), source)
    assert cli.main(["export", str(source), str(target)]) == 0
    assert "with 1, 2, 5 faces, it differs from the network by" in capsys.readouterr().out
    assert cli.main(["export", str(source), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["export", str(source), str(target), "--dtype", "fp16", "--overwrite"]) == 0
