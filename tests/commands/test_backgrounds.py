"""`gpen restore` with faces found in the enlarged background, and upscalers that only clean."""

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
from gpen_core.media import read_image

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen restore` in tmp_path, where every image has one face at its top left."""

    def detect(detector, image, **options):
        size = (len(image), image.shape[2], image.shape[3])
        boxes = torch.tensor([[8.0, 10.0, 26.0, 30.0]])
        return Faces(boxes, FACE[None], torch.ones(1), torch.zeros(1, dtype=torch.int64), size)

    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    monkeypatch.chdir(tmp_path)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["restore", "--model", "small.safetensors", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def save(name: str) -> None:
    pixels = np.random.default_rng(2).integers(30, 220, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(name)


def test_faces_are_found_in_the_enlarged_background_on_demand(gpen, monkeypatch):
    sizes = []
    detect = pipeline.detect

    def look(detector, image, **options):
        sizes.append(tuple(image.shape[2:]))
        return detect(detector, image, **options)

    monkeypatch.setattr(pipeline, "detect", look)
    save("a.png")
    assert gpen("a.png", "-o", "b.png", "--scale", "2", "--find-in", "background")[0] == 0
    assert gpen("a.png", "-o", "c.png", "--scale", "2")[0] == 0
    assert sizes == [(80, 120), (40, 60)]
    found, plain = read_image("b.png"), read_image("c.png")
    assert found.shape == plain.shape == (1, 3, 80, 120)
    assert not torch.equal(found, plain)
    assert torch.equal(found[..., 100:], plain[..., 100:])  # the same background
    code, _, err = gpen("a.png", "-o", "d.png", "--find-in", "background")
    assert code == 2
    assert "needs a background: add --scale 2" in err


def test_an_upscaler_of_scale_1_cleans_the_background_and_a_larger_one_needs_scale(gpen):
    compact = pytest.importorskip("spandrel.architectures.Compact").Compact
    torch.manual_seed(0)
    torch.save(compact(num_feat=8, num_conv=1, upscale=1).state_dict(), "clean.pth")
    torch.save(compact(num_feat=8, num_conv=1, upscale=2).state_dict(), "up.pth")
    save("a.png")
    assert gpen("a.png", "-o", "b.png", "--upscaler", "clean.pth")[0] == 0
    before, after = read_image("a.png"), read_image("b.png")
    assert before.shape == after.shape
    assert not torch.equal(before[..., 45:], after[..., 45:])
    code, _, err = gpen("a.png", "-o", "c.png", "--upscaler", "up.pth")
    assert code == 2
    assert "enlarges 2 times, and nothing without --scale 2" in err
