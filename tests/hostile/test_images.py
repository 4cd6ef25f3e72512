"""Hostile image files are read or refused in our own words, in little time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_files import load_script, measure_growth

from gpen_core.errors import ImageError
from gpen_core.media import find_losses, read_picture, write_picture

HERE = Path(__file__).parent

hostile = load_script("images")
ATTACKS = hostile.make_attacks()


def try_to_read(path: Path) -> bool:
    """Read and write one file; return whether it could be read."""
    try:
        picture = read_picture(path, on_damage=lambda message: None)
    except ImageError as error:
        assert str(error).startswith(str(path))
        return False
    for suffix in (".png", ".jpg") if picture.alpha is None else (".png",):
        target = path.parent / "out" / f"a{suffix}"
        target.parent.mkdir(exist_ok=True)
        find_losses(target, picture)
        write_picture(target, picture)
    return True


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_does_no_harm(name, tmp_path, monkeypatch, capfd):
    for module, function in ((subprocess, "Popen"), (os, "system")):
        monkeypatch.setattr(module, function, lambda *words, **options: pytest.fail("ran"))
    path = tmp_path / name
    path.write_bytes(ATTACKS[name])
    started = time.process_time()
    try_to_read(path)
    # Half a second is enough on an idle machine; the attacks take minutes.
    assert time.process_time() - started < 3
    assert {file.name for file in tmp_path.iterdir()} <= {name, "out"}
    assert capfd.readouterr() == ("", "")


READ = """
from gpen_core.errors import ImageError as Refused
from gpen_core.media import read_picture

def read(path): read_picture(path, on_damage=lambda message: None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_no_attack_takes_more_than_300_mb(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, contents in ATTACKS.items():
        (folder / name).write_bytes(contents)
    sound = tmp_path / "a.jpg"
    sound.write_bytes(hostile.sound_files()["a.jpg"])
    grown = measure_growth(READ, sound, folder)
    assert set(grown) == set(ATTACKS)
    assert sum(grown.values()) < 300, grown


@pytest.mark.parametrize("name", hostile.sound_files())
def test_the_sound_files_that_are_altered_are_read(name, tmp_path):
    (tmp_path / name).write_bytes(hostile.sound_files()[name])
    assert sorted(read_picture(tmp_path / name, strict=True).size) == [40, 60]


@pytest.mark.parametrize("count", [250, pytest.param(10_000, marks=pytest.mark.slow)])
def test_altered_files_are_read_or_refused(count, tmp_path, capfd):
    read = 0
    for name, contents in hostile.mutations(seed=29, count=count):
        path = tmp_path / name.partition("_")[2]
        path.write_bytes(contents)
        read += try_to_read(path)
    assert 0.2 * count < read < 0.9 * count
    out, err = capfd.readouterr()
    assert out == ""
    assert "OpenCV" not in err and "libpng" not in err  # libtiff does print what it finds


@pytest.mark.weights
@pytest.mark.parametrize("kind", ["R1", "R5", "R6"])
def test_reported_files_are_read_or_refused(kind, shared, tmp_path):
    paths = sorted((shared / "cases" / "hostile").glob(f"{kind}_*"))
    assert paths
    for path in paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
        started = time.process_time()
        assert try_to_read(tmp_path / path.name) == (kind == "R5")
        assert time.process_time() - started < 2
