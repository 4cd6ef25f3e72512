"""`gpen restore --report` and `--sidecar`: what was done to each face, beside the results."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from report_pictures import Reader
from safetensors.torch import save_file

from gpen_core import cli, pipeline
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import reporting, restorer
from gpen_core.detectors import detect as search
from gpen_core.faces import Faces

FACE = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])


class NoDetector:
    """A detector whose search the tests replace; in crops it finds nothing."""

    name, device, threshold = "double", torch.device("cpu"), 0.5
    smallest, largest, short_side = 8, 9999, 256

    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        return Faces.empty((len(pixels), *pixels.shape[2:]))


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen restore` on photographs of 60 × 70 px with one face, unless they are black."""

    def detect(detector, image, **options):
        size = (1, *image.shape[2:])
        if image.max() < 0.1:
            return Faces.empty(size)
        scale = image.shape[3] / 70
        boxes = torch.tensor([[16.0, 16, 48, 52]]) * scale
        return Faces(boxes, FACE[None] * scale, torch.ones(1), torch.zeros(1).long(), size)

    assert search is not detect
    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: NoDetector())
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")
    Path("in/deep").mkdir(parents=True)
    pixels = np.random.default_rng(2).integers(30, 220, (60, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("in/a.png")
    Image.fromarray(pixels[:, ::-1]).save("in/deep/b.png")
    Image.fromarray(pixels * 0).save("in/black.png")

    def run(*words: str) -> tuple[int, str]:
        code = cli.main(["restore", "--model", "small.safetensors", *words])
        return code, capsys.readouterr().err

    return run


def load(path: str | Path) -> dict:
    return json.loads(Path(path).read_text("utf-8"))


def list_files(folder: str = ".") -> set[str]:
    files = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in files}


def test_a_report_stands_at_the_place_of_its_result(gpen):
    assert gpen("in", "-o", "out", "--report", "told") == (0, "")
    names = {"a.png", "black.png", "deep/b.png"}
    assert list_files("out") == names
    assert list_files("told") == {f"{name}{end}" for name in names for end in (".html", ".json")}
    page = Path("told/deep/b.png.html").read_text("utf-8")
    assert "1 face restored" in Reader(page).text
    assert "No face was found" in Path("told/black.png.html").read_text("utf-8")
    assert load("told/black.png.json")["faces"] == []


def test_a_sidecar_says_with_which_file_and_options_its_result_was_made(gpen):
    assert gpen("in/a.png", "-o", "r.png", "--sidecar", "--strength", "0.5") == (0, "")
    found = load("r.png.json")
    assert found["format"] == "gpen report 1"
    digest = hashlib.sha256(Path("small.safetensors").read_bytes()).hexdigest()
    assert found["model"]["sha256"] == digest
    assert found["model"]["out_size"] == 32
    assert found["source"]["sha256"] == hashlib.sha256(Path("in/a.png").read_bytes()).hexdigest()
    assert found["target"] == {"file": "r.png"}
    assert found["options"]["strength"] == 0.5
    assert found["detector"] == "double"
    assert not {"inputs", "run", "output"} & set(found["options"])
    (face,) = found["faces"]
    assert (face["number"], face["box"]) == (1, [16, 16, 48, 52])
    assert face["pasted"] > 0.5
    assert face["landmarks_moved"] is None  # the detector found no face in the crops


def test_sidecars_and_reports_may_share_a_folder(gpen):
    assert gpen("in/a.png", "-o", "out", "--sidecar", "--report", "out") == (0, "")
    assert list_files("out") == {"a.png", "a.png.json", "a.png.html"}


def test_a_report_changes_no_result(gpen):
    assert gpen("in", "-o", "plain") == (0, "")
    assert gpen("in", "-o", "told", "--sidecar") == (0, "")
    for name in ("a.png", "deep/b.png"):
        assert Path("plain", name).read_bytes() == Path("told", name).read_bytes()


def test_the_truth_is_the_photograph_even_if_faces_are_found_in_its_background(gpen):
    words = ("--scale", "2", "--find-in", "background", "--sidecar")
    assert gpen("in/a.png", "-o", "r.png", *words) == (0, "")
    found = load("r.png.json")
    assert found["photograph"] == {"width": 70, "height": 60}
    assert found["result"] == {"width": 140, "height": 120}
    assert found["faces"][0]["box"] == [16, 16, 48, 52]


def test_existing_reports_are_kept_before_any_work(gpen, monkeypatch):
    Path("r.png.json").write_text("mine")
    code, err = gpen("in/a.png", "-o", "r.png", "--sidecar")
    assert code == 1
    assert "r.png.json exists; pass --overwrite to replace it" in err
    assert Path("r.png.json").read_text() == "mine"
    assert not Path("r.png").exists()
    assert gpen("in/a.png", "-o", "r.png", "--sidecar", "--overwrite") == (0, "")
    assert load("r.png.json")["faces"]


def test_an_interrupted_run_is_completed_by_the_same_command(gpen, monkeypatch):
    def stop(*words, **options):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(restorer.Restorer, "_write", stop)
        code, err = gpen("in/a.png", "-o", "r.png", "--sidecar", "--report", "told")
    assert (code, "the disk is full" in err) == (1, True)
    assert Path("r.png.json").exists()
    assert not Path("r.png").exists()
    assert gpen("in/a.png", "-o", "r.png", "--sidecar", "--report", "told") == (0, "")
    assert Path("r.png").exists()
    assert not list(Path().glob(".gpen*"))


def test_a_report_that_cannot_be_written_fails_its_file_and_leaves_nothing(gpen, monkeypatch):
    def fail(*words, **options):
        raise PermissionError("no")

    monkeypatch.setattr(reporting, "write_page", fail)
    code, _ = gpen("in/a.png", "-o", "r.png", "--sidecar")
    assert code == 1
    assert not Path("r.png").exists()
    assert not Path("r.png.json").exists()


@pytest.mark.parametrize("words", [("--report", "told"), ("--sidecar",)])
def test_aligned_faces_take_no_report(gpen, words):
    code, err = gpen("in/a.png", "-o", "r.png", "--aligned", *words)
    assert code == 2
    assert words[0] in err
