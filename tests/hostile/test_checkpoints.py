"""Hostile checkpoint files are refused in our own words, in little time and memory."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
import torch
from hostile_files import load_script, measure_growth

from gpen_core import cli
from gpen_core.checkpoints.loading import read_checkpoint
from gpen_core.checkpoints.tensor_files import read_outline, read_tensor_file
from gpen_core.errors import CheckpointError

HERE = Path(__file__).parent
CASES = HERE.parents[2] / "shared" / "cases" / "hostile"


hostile = load_script("checkpoints")
ATTACKS = hostile.make_attacks()
READ = """
from gpen_core.checkpoints.loading import read_checkpoint as read
from gpen_core.errors import CheckpointError as Refused
"""


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_at_once_on_one_printable_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(ATTACKS[name])
    started = time.process_time()
    assert cli.main(["inspect", str(path)]) == 2
    # A second is enough on an idle machine; a hang takes minutes.
    assert time.process_time() - started < 5
    captured = capsys.readouterr()
    line = captured.err.removesuffix("\n")
    assert captured.out == ""
    assert line.startswith("gpen: ") and line.isprintable()
    assert len(line) < 2_000 and "weights_only" not in line
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_no_attack_takes_more_than_300_mb(tmp_path: Path) -> None:
    hostile.write_attacks(tmp_path / "files")
    model = HERE.parents[1] / "weights" / "gpen-builtin-256.safetensors"
    grown = measure_growth(READ, model, tmp_path / "files")
    assert set(grown) == set(ATTACKS)
    assert sum(grown.values()) < 300, grown


@pytest.mark.parametrize("name", hostile.sound_files())
def test_the_sound_files_that_are_altered_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(hostile.sound_files()[name])
    for contents in (read_outline(path), read_tensor_file(path).contents):
        tensors = contents.get("g_ema", contents)
        assert tensors["generator.input.input"].shape == (1, 8, 4, 4)


def test_the_same_files_are_made_at_any_time_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    kept = []  # so that the next tensors lie elsewhere
    for seconds in (1e9, 1.5e9):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        altered = [*hostile.mutations(seed=29, count=99)]
        made.append([hostile.sound_files(), hostile.archive(b"N"), altered])
        kept += [torch.empty(size) for size in (8, 128) for _ in range(9)]
    assert made[0] == made[1]


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of pickle protocols that do not exist
def test_altered_files_are_read_or_refused(tmp_path: Path) -> None:
    refused = read = 0
    path = tmp_path / "file.pth"
    for name, contents in hostile.mutations(seed=29, count=1_500):
        path.write_bytes(contents)
        try:
            read_tensor_file(path)
            read += 1
        except CheckpointError as error:
            refused += 1
            assert str(error).isprintable(), name
    assert refused > 700 and read > 50


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    fifo, loop = tmp_path / "fifo.pth", tmp_path / "loop.pth"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for path, said in ((fifo, "is a FIFO"), (Path("/dev/zero"), "is a device"), (loop, "cannot")):
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path)


@pytest.mark.weights
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("path", sorted(CASES.glob("R[2347]_*.pth")), ids=lambda path: path.name)
def test_reported_files_are_refused(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.safetensors"
    assert cli.main(["inspect", str(path)]) == 2
    assert cli.main(["convert", str(path), str(target)]) == 2
    assert list(tmp_path.iterdir()) == []
