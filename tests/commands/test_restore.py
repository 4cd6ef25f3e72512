"""Options of `gpen restore` that hold for single faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli, pipeline
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import restorer
from gpen_core.faces import Faces

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])
MOVED = torch.tensor([90.0, 0.0])
FIRST, SECOND = np.s_[:, :60], np.s_[:, 80:]
"""Columns of the two faces."""


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen restore` on a.png, in which two faces are found."""

    def detect(detector, image, **options):
        box = torch.tensor([8.0, 10.0, 26.0, 30.0])
        boxes = torch.stack([box, box + torch.tensor([90.0, 0, 90, 0])])
        index = torch.zeros(2, dtype=torch.int64)
        size = (1, *image.shape[2:])
        return Faces(boxes, torch.stack([FACE, FACE + MOVED]), torch.ones(2), index, size)

    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")
    pixels = np.random.default_rng(2).integers(30, 220, (40, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")

    def run(*words: str) -> tuple[int, str]:
        code = cli.main(["restore", "--model", "small.safetensors", "a.png", *words])
        return code, capsys.readouterr().err

    return run


def read(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image).astype(int)


def test_strengths_hold_for_each_face_in_the_order_of_the_saved_faces(gpen):
    before = read("a.png")
    assert gpen("-o", "full.png") == (0, "")
    assert gpen("-o", "one.png", "--strengths", "0, 1", "--strength", "0.3") == (0, "")
    assert gpen("-o", "half.png", "--strengths", "0.5 0") == (0, "")
    full, one, half = read("full.png"), read("one.png"), read("half.png")
    assert np.array_equal(one[FIRST], before[FIRST])
    assert np.array_equal(one[SECOND], full[SECOND])
    assert np.abs(full - before)[SECOND].max() > 10
    assert np.array_equal(half[SECOND], before[SECOND])
    assert np.abs(half - (full + before) / 2)[FIRST].max() <= 1


def test_an_empty_text_leaves_the_one_strength(gpen):
    assert gpen("-o", "r.png", "--strengths", "", "--strength", "0") == (0, "")
    assert np.array_equal(read("r.png"), read("a.png"))


def test_another_number_of_strengths_than_faces_fails_and_writes_nothing(gpen, tmp_path):
    code, err = gpen("-o", "r.png", "--strengths", "1,0.5,0")
    assert code == 1
    assert "3 strengths do not fit 2 faces" in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "small.safetensors"}


@pytest.mark.parametrize("text", ["1,x", "2", "nan", "-1"])
def test_strengths_that_are_none_are_refused(gpen, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        gpen("-o", "r.png", f"--strengths={text}")
    assert stopped.value.code == 2
    assert "is not a strength" in capsys.readouterr().err


def test_aligned_faces_take_no_strengths(gpen):
    code, err = gpen("-o", "r.png", "--aligned", "--strengths", "1")
    assert code == 2
    assert "--strengths" in err


@pytest.mark.parametrize(
    ("words", "changed"),
    [("left", [FIRST]), ("right", [SECOND]), ("0,1", [FIRST, SECOND]), ("largest 1", [SECOND])],
)
def test_only_the_chosen_faces_are_restored(gpen, words, changed):
    assert gpen("-o", "r.png", "--faces", words) == (0, "")
    difference = np.abs(read("r.png") - read("a.png"))
    for columns in (FIRST, SECOND):
        assert (difference[columns].max() > 10) == (columns in changed)


def test_a_file_of_which_no_face_is_chosen_is_copied(gpen, tmp_path):
    assert gpen("-o", "r.png", "--faces", "5", "--json") == (0, "")
    assert (tmp_path / "r.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_words_that_choose_no_face_are_refused(gpen, capsys):
    with pytest.raises(SystemExit) as stopped:
        gpen("-o", "r.png", "--faces", "nicest")
    assert stopped.value.code == 2
    assert "'nicest' names no face" in capsys.readouterr().err


def test_grain_is_laid_over_faces_and_nothing_else(gpen):
    before = read("a.png")
    assert gpen("-o", "smooth.png") == (0, "")
    assert gpen("-o", "grained.png", "--grain", "1") == (0, "")
    smooth, grained = read("smooth.png"), read("grained.png")
    assert np.array_equal(grained[:, 62:78], before[:, 62:78])
    assert np.abs(grained - smooth).max() > 3
    code, err = gpen("-o", "r.png", "--aligned", "--grain", "1")
    assert (code, "--grain" in err) == (2, True)
