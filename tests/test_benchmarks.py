"""The scripts that measure still run, on little; what they print is for people."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gpen_core import bench
from gpen_core.contenders import Timing

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of benchmarks/ to run with these words."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str, *words: str) -> ModuleType:
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *words])
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_network_times_each_size_beside_the_plain_network(script, monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "run", asked.append)
    script("network", "--size", "256", "1024", "--dtype", "fp32", "--batch", "2").main()
    assert [(a.size, a.dtype, a.batch, a.reference) for a in asked] == [
        (size, ["fp32"], [2], True) for size in (256, 1024)
    ]


def test_paste_says_what_a_larger_frame_costs(script, capsys):
    pytest.importorskip("skimage", reason="pip install scikit-image")
    words = ["--megapixels", "0.5", "1", "--side", "100", "--faces", "2", "--repeats", "1"]
    script("paste", *words).main()
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("| 816 × 612, 0 MP |")
    assert re.search(r"\| \d+\.\d\d \|$", second)


def test_pipeline_times_every_step(script, capsys, monkeypatch):
    for package in ("skimage", "facenet_pytorch"):
        pytest.importorskip(package, reason=f"pip install '.[demo,detect]' for {package}")
    plain = Timing("reference, float32", 1, "cpu", seconds=2.0, first=2.0, load=None, peak=None)
    monkeypatch.setattr(bench, "apart", lambda *_: plain)
    words = ["--megapixels", "1", "--faces", "2", "--detector", "mtcnn", "--size", "256"]
    script("pipeline", *words, "--device", "cpu", "--repeats", "1").main()
    out = capsys.readouterr().out
    for step in ("decode", "detect, mtcnn: 2 faces", "align", "restore, GPEN-256, float32",
                 "paste", "encode, .jpg", "all but the network"):  # fmt: skip
        assert f"\n| {step}" in out
    assert "2 × 2.00 s | 4.00 s | 100.0 % |" in out
