"""`gpen chunk`, `run-chunk` and `join`, with a loop that stands for the scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen` in tmp_path, in which there are five faces and a model."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")
    random = np.random.default_rng(2)
    Path("in").mkdir()
    for number in range(5):
        pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"in/{number}.png")

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


RESTORE = ("in", "--model", "small.safetensors", "--aligned")


def contents(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_chunks_give_the_results_of_one_process_from_any_folder(gpen, tmp_path, monkeypatch):
    code, out, _ = gpen("chunk", *RESTORE, "-o", "out", "--plan", "plan", "--files", "2")
    assert code == 0
    assert "5 files in 3 chunks" in out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for index in (2, 0):
        assert gpen("run-chunk", "../plan", "--index", str(index))[0] == 0
    code, out, err = gpen("join", "../plan")
    assert code == 1
    assert "3 done, 0 failed, 2 left" in out
    assert "chunk 1: 2 left: gpen run-chunk ../plan --index 1" in err
    code, out, _ = gpen("run-chunk", "../plan", "--index", "1", "--json")
    assert json.loads(out.splitlines()[-1]) == {"done": 2, "failed": 0, "skipped": 0}
    assert gpen("join", "../plan")[0] == 0
    assert gpen("status", "../plan/journal.sqlite")[1].startswith("5 done, 0 failed, 0 left of 5")
    monkeypatch.chdir(tmp_path)
    assert gpen("restore", *RESTORE, "-o", "plain")[0] == 0
    assert contents("out") == contents("plain")


def test_a_plan_refuses_what_would_replace_a_file_and_what_the_scheduler_does(gpen):
    Path("out").mkdir()
    Path("out/3.png").write_bytes(b"mine")
    words = (*RESTORE, "-o", "out", "--json", "--plan")
    code, out, err = gpen("chunk", *words, "plan")
    assert code == 1
    assert json.loads(out.splitlines()[0]) == {"chunks": 1, "files": 4}
    assert "3.png exists" in err
    for options in (["--journal", "j"], ["--jobs", "2"], ["--skip-existing"]):
        code, _, err = gpen("chunk", *words, "other", *options)
        assert code == 2
        assert f"{options[0]} has no effect in `gpen chunk`" in err
        assert not Path("other").exists()
    assert gpen("chunk", *words, "other", "--scale", "2")[0] == 2  # with --aligned
    assert gpen("chunk", *words, "plan")[0] == 2
