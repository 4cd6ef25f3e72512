"""`run_gpen.py`, the command of older guides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import run_gpen
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import restorer
from gpen_core.faces import Faces
from gpen_core.media import read_picture

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def guide(tmp_path, monkeypatch) -> Path:
    """A folder as the guides describe it: a photograph, and weights in `weights`."""
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    (tmp_path / "weights").mkdir()
    save_file(GPEN(config).state_dict(), tmp_path / "weights" / "gpen-bfr-32.safetensors")
    Image.effect_noise((60, 60), 80).convert("RGB").save(tmp_path / "my_blurry_face.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPEN_WEIGHTS", str(tmp_path / "no such folder"))
    return tmp_path


def run(*words: str, size: int = 32, model: str = "./weights/gpen-bfr-32.safetensors") -> int:
    return run_gpen.restore(
        ["--input", "my_blurry_face.jpg", "--output", "restored_face.png",
         "--model_path", model, "--size", str(size), *words]
    )  # fmt: skip


def test_without_face_align_the_input_is_one_aligned_face(guide):
    assert run() == 0
    assert read_picture("restored_face.png").size == (32, 32)
    assert run() == 0  # a second run replaces the result of the first


def test_with_face_align_faces_are_found_in_the_photograph(guide, monkeypatch, capsys):
    landmarks = torch.tensor([[[22.0, 22], [38, 22], [30, 32], [24, 42], [36, 42]]])
    faces = Faces(
        torch.tensor([[15.0, 10, 45, 50]]), landmarks, torch.ones(1), torch.zeros(1), (1, 60, 60)
    )
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    monkeypatch.setattr(restorer, "find_chosen_faces", lambda *words, **options: faces)
    assert run("--face_align") == 0
    assert "1 face restored" in capsys.readouterr().out
    assert read_picture("restored_face.png").size == (60, 60)


def test_a_size_that_is_not_the_models_is_an_error(guide, capsys):
    assert run(size=2048) == 2
    assert "restores at 32 px, but --size 2048 was given" in capsys.readouterr().err
    assert not Path("restored_face.png").exists()


def test_the_error_for_missing_published_weights_says_where_they_are(guide, monkeypatch, capsys):
    monkeypatch.setenv("GPEN_CACHE", str(guide))
    assert run(size=2048, model="./weights/gpen-bfr-2048.pth") == 2
    message = capsys.readouterr().err
    assert "https://www.modelscope.cn" in message
    assert "gpen download GPEN-BFR-2048" in message


def test_the_error_for_other_missing_weights_names_the_file(guide, capsys):
    assert run(model="./weights/mine.pth") == 2
    assert "mine.pth" in capsys.readouterr().err


def test_the_error_for_an_oblong_picture_advises_face_align(guide, capsys):
    Image.new("RGB", (60, 50)).save("my_blurry_face.jpg")
    assert run() == 1
    assert "add --face_align" in capsys.readouterr().err


def test_it_runs_as_a_script(guide):
    words = ["--input", "my_blurry_face.jpg", "--output", "restored_face.png",
             "--model_path", "weights/gpen-bfr-32.safetensors"]  # fmt: skip
    result = subprocess.run(
        [sys.executable, str(ROOT / "run_gpen.py"), *words],
        cwd=guide, capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert read_picture("restored_face.png").size == (32, 32)
