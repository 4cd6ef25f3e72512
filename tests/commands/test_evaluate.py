"""`gpen evaluate`, as typed."""

from __future__ import annotations

import csv

import pytest
from safetensors.torch import save_file
from training_faces import crop_astronaut

from gpen_core import GPEN, GPENConfig, read_image, write_image
from gpen_core.cli import main


def test_groups_are_printed_and_table_and_sheet_are_written(tmp_path, capsys):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, face in enumerate(crop_astronaut(128)):
        write_image(folder / f"face{i}.png", face[None] / 255)
    (folder / "broken.jpg").write_bytes(b"nothing")
    ages = "file\tborn\tnote\nface0.png\t1950\t\n"
    (tmp_path / "ages.tsv").write_text(ages, encoding="utf-8")
    index = "file\tsource\nface0.png\tone studio\nface1.png\tanother\n"
    (folder / "INDEX.tsv").write_text(index, encoding="utf-8")
    table, sheet = tmp_path / "new" / "t.tsv", tmp_path / "s.png"
    words = ["evaluate", "--data", str(folder), "--device", "cpu", "--degradation", "traces"]
    words += ["--groups", str(tmp_path / "ages.tsv"), "--same-damage", "--rounds", "2"]
    assert main([*words, "--table", str(table), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr()
    assert "4 pairs: PSNR" in printed.out
    assert "one studio" in printed.out
    assert "broken.jpg" in printed.err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert {(row["by"], row["group"]) for row in rows} >= {
        ("all", "all"),
        ("source", "another"),
        ("face", "0001 face1.png"),
    }
    assert {row["by"] for row in rows} == {"all", "skin lightness", "source", "born", "face"}
    assert [(row["group"], row["pairs"]) for row in rows if row["by"] == "born"] == [("1950", "2")]
    for row in rows:
        assert 10 < float(row["output_psnr"]) < 60
    assert read_image(sheet).shape == (1, 3, 256, 2 * 768 + 8)


@pytest.mark.parametrize("text", ["file\tborn\nother.png\t1950\n", "file\nface0.png\n"])
def test_a_table_of_groups_that_names_no_face_is_refused(tmp_path, capsys, text):
    folder = tmp_path / "faces"
    folder.mkdir()
    write_image(folder / "face0.png", crop_astronaut(128)[:1] / 255)
    (tmp_path / "ages.tsv").write_text(text, encoding="utf-8")
    words = ["evaluate", "--data", str(folder), "--groups", str(tmp_path / "ages.tsv")]
    assert main([*words, "--device", "cpu"]) == 2
    assert "none of the 1 faces" in capsys.readouterr().err


def test_a_network_that_enlarges_is_refused(tmp_path, capsys):
    write_image(tmp_path / "face0.png", crop_astronaut(64)[:1] / 255)
    config = GPENConfig(32, 64, (8,) * 5, style_dim=8, mapping_layers=1)
    state = {name: value.contiguous() for name, value in GPEN(config).state_dict().items()}
    save_file(state, tmp_path / "enlarges.safetensors")
    words = ["--model", str(tmp_path / "enlarges.safetensors"), "--device", "cpu"]
    assert main(["evaluate", "--data", str(tmp_path), *words]) == 2
    assert "makes 64 px of 32 px" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    words = ["evaluate", "--data", str(tmp_path / "none"), "--sheet", str(tmp_path / "s.gif")]
    assert main(words) == 2
    assert "its suffix '.gif'" in capsys.readouterr().err


def test_an_unknown_degradation_is_refused_with_the_choices(tmp_path, capsys):
    assert main(["evaluate", "--data", str(tmp_path), "--degradation", "harsh"]) == 2
    assert "must be one of paper, second-order, mixed, traces" in capsys.readouterr().err
