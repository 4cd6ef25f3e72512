"""Special files and endless links in a folder: refused in one line each, the rest is done."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
import torch

from gpen_core import cli, write_image
from gpen_core.commands.jobs import plan_jobs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs and SIGALRM")


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Fail a test that takes a minute: opening a FIFO waits for ever."""

    def fail(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures beside special files of every kind and links that lead nowhere."""
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    folder = Path("in")
    (folder / "sub").mkdir(parents=True)
    for name in ("b.png", "sub/z.png"):
        write_image(folder / name, torch.rand(1, 3, 40, 56))
    for name in ("a.jpg", "sub/m.png"):
        os.mkfifo(folder / name)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("in/socket.webp")
    links = {
        "zero.png": "/dev/zero",
        "tty.png": "/dev/tty",
        "fifo.tif": "a.jpg",
        "loop.jpg": "loop.jpg",
        "nowhere.jpg": "no such file",
        "folder.jpg": "sub",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


@pytest.mark.parametrize("command", ["restore", "degrade"])
def test_special_files_in_a_folder_fail_alone_and_at_once(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    special = ["a.jpg", "fifo.tif", "loop.jpg", "nowhere.jpg", "socket.webp", "zero.png"]
    special += ["tty.png", "sub/m.png", "folder.jpg/m.png"]
    assert cli.main([command, str(folder), "-o", "out", "--device", "cpu"]) == 1
    lines = capsys.readouterr().err.splitlines()
    for name in special:
        assert len([line for line in lines if f"in/{name}" in line]) == 1, name
    done = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.*")}
    assert done - {"folder.jpg"} == {"b.png", "sub/z.png", "folder.jpg/z.png"}


def test_folders_that_link_to_each_other_are_searched_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{number:02}" for number in range(15)]  # 15! paths
    for name in names:
        Path("in", name).mkdir(parents=True)
        Path("in", name, "a.jpg").write_bytes(b"x")
    for name, other in permutations(names, 2):
        Path("in", name, other).symlink_to(Path("in", other).resolve())
    jobs, problems = plan_jobs(["in"], Path("out"), overwrite=False)
    assert {job.source.resolve().parent.name for job in jobs} == set(names)
    assert len(names) <= len(jobs) <= 8 * len(names)
    assert len(problems) <= len(names)
    assert all("searched already by 8" in problem.reason for problem in problems)
