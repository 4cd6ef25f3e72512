from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gpen_core.arch import GPEN
from gpen_core.commands import bench, bench_timing
from gpen_core.commands.bench_timing import Task, Timing
from gpen_core.errors import DeviceError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def checkpoint(tensors: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.mark.slow
def test_json_has_the_time_and_memory_of_every_network(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(checkpoint), "--device", "cpu", "--repeats", "1", "--json"]
    assert bench.run(parse(*words, "--dtype", "fp32", "--reference")) == 0
    report = json.loads(capsys.readouterr().out)
    assert [t["name"] for t in report["timings"]] == ["gpen_core, float32", "reference, float32"]
    for timing in report["timings"]:
        assert 0 < timing["seconds"] < 60
        assert timing["peak"] is None or timing["peak"] > 50e6
    assert report["timings"][0]["load"] > 0
    assert f"torch {torch.__version__.split('+')[0]}" in report["software"]
    assert report["device"]


def test_the_table_shows_the_speed_up_over_rivals_of_the_same_batch() -> None:
    timings = [
        Timing("gpen_core, float32", 1, "x", seconds=0.5, first=0.7, load=0.1, peak=2 * 10**9),
        Timing("gpen_core, float32", 8, "x", seconds=3.0, first=3.1, load=None, peak=None),
        Timing("ONNX Runtime 1.2, float32", 1, "x", seconds=1, first=2, load=0.2, peak=None),
        Timing("reference, float32", 1, "x", seconds=4.0, first=4.0, load=None, peak=10**9),
        Timing("reference, float32", 8, "x", seconds=36.0, first=36.0, load=None, peak=None),
    ]
    lines = bench.format_timings(timings).splitlines()
    assert lines[0].endswith("| × reference | × ONNX Runtime |")
    assert lines[2] == (
        "| gpen_core, float32 | 1 | 500 ms | 2 | 0.7 s | 0.1 s | 2.00 GB | 8.0 | 2.0 |"
    )
    assert lines[3] == "| gpen_core, float32 | 8 | 3,000 ms | 2.67 | 3.1 s |  |  | 12.0 |  |"
    assert {line.count("|") for line in lines} == {10}


@pytest.mark.slow
def test_every_batch_is_timed(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", str(checkpoint), "--device", "cpu", "--repeats", "1", "--json"]
    assert bench.run(parse(*words, "--batch", "1", "3")) == 0
    report = json.loads(capsys.readouterr().out)
    assert [t["batch"] for t in report["timings"]] == [1, 3]


def test_a_run_is_described_by_its_command_and_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/bin/gpen", "bench", "--model", "my faces.pth"])
    facts = bench.describe_run()
    assert facts["command"] == "gpen bench --model 'my faces.pth'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"])
    monkeypatch.setattr(sys, "argv", ["/x/gpen_core/__main__.py", "bench"])
    assert bench.describe_run()["command"] == "python -m gpen_core bench"
    monkeypatch.setattr(sys, "argv", ["/x/benchmarks/pipeline.py"])
    assert bench.describe_run(3)["command"] == "python benchmarks/pipeline.py"
    assert bench.describe_run(3)["cores"] == "3"


def test_the_error_without_onnxruntime_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "_is_installed", lambda package: package != "onnxscript")
    with pytest.raises(DeviceError, match="pip install onnxscript"):
        bench.run(parse("--onnxruntime"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cuda-graph"], "--cuda-graph needs a CUDA device, found cpu"),
        (["--dtype", "fp32", "fp16"], "fp16 is refused on a CPU"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setattr(bench, "run_in_process", None)
    with pytest.raises(DeviceError, match=message):
        bench.run(parse("--device", "cpu", *words))


def test_counts_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--batch", "0")
    assert "at least 1, found 0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_exported_network_gives_the_same_faces(
    tiny_gpen: GPEN, checkpoint: Path, tmp_path: Path
) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"needs {package}: pip install '.[bench]'")
    onnxruntime = pytest.importorskip("onnxruntime")
    task = Task(str(checkpoint), "cpu", "fp32", batch=2, repeats=1, threads=None)
    path = str(tmp_path / "tiny.onnx")
    bench_timing.export_onnx(task, path)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": x})
    np.testing.assert_allclose(found, tiny_gpen(torch.from_numpy(x)), atol=1e-4)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_peak_is_that_of_the_process_and_not_of_its_parent():
    held = torch.ones(100 << 20)  # 400 MiB, every page of them written
    asked = "from gpen_core.commands.bench_timing import peak_of_process; print(peak_of_process())"
    command, root = [sys.executable, "-c", asked], Path(__file__).resolve().parents[2]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    own = bench_timing.peak_of_process()
    assert own is not None
    assert int(found) < held.nbytes < own
