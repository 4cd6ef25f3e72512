"""`gpen colorize`, `inpaint` and `segment-to-face` on files: results, what they keep, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli, pipeline
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import task_files
from gpen_core.faces import Faces

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return GPEN(GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)).state_dict()


@pytest.fixture
def gpen(weights, tmp_path, monkeypatch, capsys):
    """Run `gpen` with a small model in tmp_path; every image has one face at its top left."""

    def detect(detector, image, **options):
        boxes = torch.tensor([[8.0, 10.0, 26.0, 30.0]])
        size = (len(image), image.shape[2], image.shape[3])
        return Faces(boxes, FACE[None], torch.ones(1), torch.zeros(1, dtype=torch.int64), size)

    monkeypatch.setattr(pipeline, "detect", detect)
    monkeypatch.setattr(task_files, "load_detector", lambda *words, **options: object())
    monkeypatch.chdir(tmp_path)
    save_file(weights, "mine.safetensors")

    def run(*words: str, model: str = "mine.safetensors") -> tuple[int, str, str]:
        code = cli.main([words[0], "--model", model, *words[1:]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def draw(name: str, mode: str, *, alpha_hole: bool = False, **options: object) -> np.ndarray:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(2).integers(30, 220, (40, 60, *channels), dtype=np.uint8)
    if mode == "RGBA":
        pixels[..., 3] = 255
        if alpha_hole:
            pixels[16:20, 14:20, 3] = 0
    Image.fromarray(pixels).save(name, **options)
    return pixels


def read(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


def test_a_grey_file_becomes_a_colour_file_with_the_same_luma(gpen):
    grey = draw("old.png", "L", dpi=(300, 300))
    code, out, err = gpen("colorize", "old.png", "-o", "new.png")
    assert (code, err, out) == (0, "", "old.png → new.png: done\n")
    coloured = read("new.png").astype(float)
    assert coloured.shape == (40, 60, 3)
    assert np.abs(coloured @ [0.299, 0.587, 0.114] - grey).max() <= 1
    assert np.ptp(coloured[16:24, 14:20], axis=2).mean() > 2
    assert (coloured[:, 45:] == grey[:, 45:, None]).all()
    with Image.open("new.png") as image:
        assert round(image.info["dpi"][0]) == 300


def test_the_colours_of_the_whole_crop_are_spread_over_a_mask(gpen):
    grey = draw("old.png", "L")
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :50] = 255
    Path("masks").mkdir()
    Image.fromarray(mask).save("masks/old.png")
    assert gpen("colorize", "old.png", "-o", "new.png", "--spread", "masks")[0] == 0
    coloured = read("new.png").astype(int)
    assert (np.ptp(coloured[:, 40:50], axis=2) > 0).mean() > 0.5
    assert (coloured[:, 50:] == grey[:, 50:, None]).all()
    code, _, err = gpen("colorize", "old.png", "-o", "other.png", "--spread", "absent.png")
    assert code == 1
    assert "absent.png" in err
    assert not Path("other.png").exists()


def test_holes_of_a_mask_are_filled_and_all_else_is_bit_exact(gpen):
    before = draw("a.png", "RGB")
    mask = np.zeros((40, 60), np.uint8)
    mask[16:20, 14:20] = 255
    mask[0, 59] = 255
    Image.fromarray(mask).save("mask.png")
    code, out, err = gpen("inpaint", "a.png", "-o", "b.png", "--mask", "mask.png")
    assert (code, err) == (0, "")
    assert "1 of 25 pixels of the holes lie outside the faces" in out
    changed = (read("b.png") != before).any(axis=2)
    assert changed[16:20, 14:20].mean() > 0.9
    assert not changed[mask == 0].any()
    assert not changed[0, 59]


def test_transparent_pixels_are_holes_and_become_opaque(gpen):
    before = draw("a.png", "RGBA", alpha_hole=True)
    assert gpen("inpaint", "a.png", "-o", "b.jpg")[0] == 0
    assert gpen("inpaint", "a.png", "-o", "b.png")[0] == 0
    after = read("b.png")
    assert after.shape == (40, 60, 3)
    kept = before[..., 3] == 255
    assert (after[kept] == before[kept, :3]).all()
    assert (after[~kept] != before[~kept, :3]).any()


def test_a_file_without_holes_is_refused_and_an_empty_mask_copies_it(gpen):
    draw("a.png", "RGB")
    code, _, err = gpen("inpaint", "a.png", "-o", "b.png")
    assert code == 1
    assert "no transparent pixels. Name a mask" in err
    Image.new("L", (60, 40)).save("mask.png")
    _, out, _ = gpen("inpaint", "a.png", "-o", "b.png", "--mask", "mask.png")
    assert "copied unchanged" in out
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()


def test_a_map_becomes_a_face_of_the_models_size(gpen):
    pixels = np.zeros((50, 50, 3), np.uint8)
    pixels[10:40, 10:40] = (0xCC, 0, 0)
    Image.fromarray(pixels).save("map.png")
    code, out, _ = gpen("segment-to-face", "map.png", "-o", "face.png")
    assert (code, out) == (0, "map.png → face.png: face painted\n")
    assert read("face.png").shape == (32, 32, 3)
    Image.fromarray(pixels).save("map.jpg", quality=60)
    code, _, err = gpen("segment-to-face", "map.jpg", "-o", "other.png")
    assert code == 1
    assert "outside the palette" in err
    code, out, _ = gpen("segment-to-face", "map.jpg", "-o", "other.png", "--nearest")
    assert code == 0
    assert "the nearest were taken" in out
    assert (read("other.png").astype(int) - read("face.png")).std() < 40


@pytest.mark.parametrize(
    ("command", "name", "words"),
    [
        ("colorize", "GPEN-BFR-512", "colourises grey faces.*restores faces.*gpen restore"),
        ("inpaint", "gpen-colorization-1024", "fills holes.*colourises.*gpen colorize"),
        ("segment-to-face", "GPEN-BFR-256", "segmentation maps.*GPEN-Seg2face-512"),
        ("restore", "GPEN-Seg2face-512", "restores faces.*gpen segment-to-face"),
        ("restore", "GPEN-Inpainting-1024", "restores faces.*gpen inpaint"),
    ],
)
def test_a_published_file_of_another_task_is_refused(gpen, weights, command, name, words):
    draw("a.png", "RGB")
    save_file(weights, f"{name}.safetensors")
    code, _, err = gpen(command, "a.png", "-o", "b.png", model=f"./{name}.safetensors")
    assert code == 2
    assert all(word in err for word in words.split(".*")), err
    assert not Path("b.png").exists()


def test_metadata_names_the_task_of_a_model_of_ones_own_and_converting_keeps_it(gpen, weights):
    draw("a.png", "RGB")
    save_file(weights, "own.safetensors", metadata={"gpen.task": "colorize"})
    assert cli.main(["convert", "own.safetensors", "half.safetensors", "--dtype", "fp16"]) == 0
    code, _, err = gpen("restore", "a.png", "-o", "b.png", model="half.safetensors")
    assert code == 2
    assert "colourises" in err
    save_file(weights, "odd.safetensors", metadata={"gpen.task": "sing"})
    code, _, err = gpen("restore", "a.png", "-o", "b.png", model="odd.safetensors")
    assert "`sing`; expected one of restore, colorize" in err
