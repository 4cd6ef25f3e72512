"""`gpen degrade`, as typed."""

from __future__ import annotations

import sys

import pytest
import torch

from gpen_core import degrade, read_image, write_image
from gpen_core.cli import main
from gpen_core.degradation.presets import SECOND_ORDER
from gpen_core.media import Picture, read_picture, write_picture


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sharp ü"
    (folder / "inner").mkdir(parents=True)
    for i, name in enumerate(("a.png", "inner/b.png")):
        draw = torch.Generator().manual_seed(i)
        write_image(folder / name, torch.rand(1, 3, 40, 56, generator=draw))
    return folder


def test_a_folder_is_degraded_as_by_the_library(folder, tmp_path, capsys):
    words = ["degrade", str(folder), "-o", str(tmp_path / "out"), "--seed", "7", "--device", "cpu"]
    assert main([*words, "--preset", "second-order", "--face-size", "64"]) == 0
    assert "b.png" in capsys.readouterr().out
    for number, name in enumerate(("a.png", "inner/b.png")):
        expected = degrade(
            read_image(folder / name),
            seed=7,
            degradation=SECOND_ORDER,
            face_size=64,
            first=number,
        )
        assert (read_image(tmp_path / "out" / name) - expected).abs().max() <= 0.51 / 255


def test_a_deleted_result_is_made_again_to_the_bit(folder, tmp_path, capsys):
    words = ["degrade", str(folder), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(words) == 0
    path = tmp_path / "out" / "inner" / "b.png"
    before = path.read_bytes()
    path.unlink()
    assert main(words) == 1
    assert "a.png exists" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_running_out_of_memory_fails_that_file_only(folder, tmp_path, capsys, monkeypatch):
    def fail_first(image, **options):
        if options["first"] == 0:
            raise MemoryError
        return image

    monkeypatch.setattr(sys.modules["gpen_core.degradation.degrade"], "degrade", fail_first)
    words = ["degrade", str(folder), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(words) == 1
    assert "a.png: memory ran out" in capsys.readouterr().err
    assert (tmp_path / "out" / "inner" / "b.png").exists()


def test_transparency_stays_and_existing_results_are_not_replaced(tmp_path, capsys):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    alpha = (torch.rand(1, 1, 24, 32) * 255).round() / 255
    write_picture(source, Picture(torch.rand(1, 3, 24, 32), alpha))
    words = ["degrade", str(source), "-o", str(target), "--device", "cpu"]
    assert main(words) == 0
    assert torch.equal(read_picture(target).alpha, alpha)
    before = target.read_bytes()
    assert main([*words, "--seed", "1"]) == 1
    assert "exists; pass --overwrite" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert main([*words, "--seed", "1", "--overwrite"]) == 0
    assert target.read_bytes() != before


def test_a_bad_file_is_reported_and_the_others_are_degraded(folder, tmp_path, capsys):
    (folder / "broken.jpg").write_bytes(b"nothing")
    assert main(["degrade", str(folder), "-o", str(tmp_path / "out"), "--strength", "0"]) == 1
    assert capsys.readouterr().err.count("broken.jpg") == 1
    assert torch.equal(read_image(tmp_path / "out" / "a.png"), read_image(folder / "a.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "harsh"], "must be one of paper"),
        (["--strength", "2"], "must lie in 0 … 1"),
    ],
)
def test_bad_options_are_refused(folder, tmp_path, capsys, options, message):
    try:
        status = main(["degrade", str(folder), "-o", str(tmp_path / "out"), *options])
    except SystemExit as stopped:  # argparse refuses with SystemExit
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
