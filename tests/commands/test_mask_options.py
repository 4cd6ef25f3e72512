"""`gpen restore --mask-kind` and `--leave-clean`: how they reach pasting; early errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_core import cli, pipeline
from gpen_core.commands import mask_options, restorer
from gpen_core.faces import Faces
from gpen_core.pasting import parsing

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])


@pytest.fixture
def gpen(tiny_gpen, tmp_path, monkeypatch, capsys):
    """Run `gpen restore a.png -o r.png`; the image has one face. Gives code, stderr, pixels."""

    def detect(detector, image, **options):
        index = torch.zeros(1, dtype=torch.int64)
        boxes = torch.tensor([[8.0, 10.0, 26.0, 30.0]])
        return Faces(boxes, FACE[None], torch.ones(1), index, (1, *image.shape[2:]))

    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    monkeypatch.setattr(restorer, "load_model", lambda *words, **options: tiny_gpen)
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(2).integers(30, 220, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")

    def run(*words: str) -> tuple[int, str, int]:
        code = cli.main(["restore", "a.png", "-o", "r.png", "--overwrite", *words])
        changed = 0
        if code == 0:
            changed = int((np.asarray(Image.open("r.png")) != pixels).any(axis=2).sum())
        return code, capsys.readouterr().err, changed

    return run


def test_an_oval_changes_less_than_the_box(gpen):
    box, oval = gpen()[2], gpen("--mask-kind", "oval")[2]
    assert 0.2 * box < oval < 0.7 * box


def test_the_parser_and_the_regions_that_were_named_are_used(gpen, monkeypatch):
    asked = []

    class Everything:
        size = 32

        def find_regions(self, faces, regions):
            asked.append(regions)
            return torch.ones(1, 1, 32, 32)

    def load_parser(name="auto", **options):
        asked.append((name, options.get("weights")))
        return Everything()

    monkeypatch.setattr(parsing, "load_parser", load_parser)
    box = gpen()[2]
    assert asked == []
    assert gpen("--mask-kind", "parse", "--parser", "bisenet", "--regions", "skin,lips")[2] == box
    assert gpen("--mask-kind", "parse", "--parser", "mine.pth")[0] == 0
    assert asked == [
        ("bisenet", None), ("skin", "lips"), ("auto", "mine.pth"), mask_options.FACE_REGIONS
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--regions", "skin"], "--regions has no effect without --mask-kind parse"),
        (["--parser", "auto", "--mask-kind", "oval"], "--parser has no effect"),
        (["--mask-kind", "parse", "--regions", "beard"], "regions must be some of"),
        (["--mask-kind", "parse", "--parser", "no.pth"], "There is no file `no.pth`"),
        (["--aligned", "--mask-kind", "oval"], "Leave out: --mask-kind"),
    ],
)
def test_options_that_cannot_work_are_refused_before_any_work(gpen, words, message, tmp_path):
    code, err, _ = gpen(*words)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_clean_face_is_left_and_its_file_copied(gpen, monkeypatch, tmp_path):
    share = torch.ones(1)
    monkeypatch.setattr(pipeline, "weigh_faces", lambda *_: (share, torch.tensor([1.5])))
    assert gpen("--leave-clean")[2] == gpen()[2] > 0
    share.zero_()
    assert gpen("--leave-clean") == (0, "", 0)
    assert (tmp_path / "r.png").read_bytes() == (tmp_path / "a.png").read_bytes()
