"""Spawned workers: their deaths, their threads, and their end."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import batch_tasks
import pytest

from gpen_core.batch.driver import drive
from gpen_core.batch.local import LocalPool, count_cores, describe_exit, share_cores
from gpen_core.batch.work import DONE, FAILED
from gpen_core.errors import GPENError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


def seen(folder: Path) -> Counter[str]:
    return Counter((folder / "seen").read_text(encoding="utf-8").splitlines())


def test_a_file_that_kills_its_worker_is_failed_and_all_others_are_done(tmp_path):
    words = ["a", "b", "kill", "bad", "c", "d"]
    tasks = batch_tasks.make_tasks(tmp_path, words)
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"))
    with LocalPool(load, 1, threads=3) as pool:
        results = {r.source: r for r in drive(tasks, pool, chunk_size=4, tries=2)}
    assert {source: result.state for source, result in results.items()} == {
        "0: a": DONE, "1: b": DONE, "2: kill": FAILED, "3: bad": FAILED, "4: c": DONE, "5: d": DONE,
    }  # fmt: skip
    assert "was killed by SIGKILL each of the 2 times" in results["2: kill"].text
    assert results["3: bad"].text == "is bad"
    assert results["0: a"].worker == "0"
    assert seen(tmp_path) == {
        "0: a False": 1, "1: b False": 1, "2: kill False": 1, "2: kill True": 2, "3: bad True": 1,
        "4: c False": 1, "5: d False": 1,
    }  # fmt: skip
    written = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert written == {"0.txt": "a 3", "1.txt": "b 3", "4.txt": "c 3", "5.txt": "d 3"}
    assert not list(tmp_path.glob(".gpen*"))


def test_a_model_that_cannot_be_loaded_ends_the_run_with_its_message(tmp_path):
    tasks = batch_tasks.make_tasks(tmp_path, ["a"])
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"), refuse="no such model")
    with LocalPool(load, 1) as pool, pytest.raises(GPENError, match="no such model"):
        list(drive(tasks, pool))


@pytest.mark.slow  # processes
def test_workers_that_die_while_they_load_end_the_run(tmp_path):
    tasks = batch_tasks.make_tasks(tmp_path, ["a"])
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"), die=True)
    with LocalPool(load, 1) as pool, pytest.raises(GPENError, match=r"in a row .* SIGKILL"):
        list(drive(tasks, pool))


@pytest.mark.slow  # processes
def test_a_defect_fails_its_file_only(tmp_path, capfd):
    tasks = batch_tasks.make_tasks(tmp_path, ["raise", "a", "b"])
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"))
    with LocalPool(load, 2) as pool:
        results = {r.source: r for r in drive(tasks, pool, tries=2)}
    assert [results[name].state for name in ("0: raise", "1: a", "2: b")] == [FAILED, DONE, DONE]
    assert "ended with exit code 1" in results["0: raise"].text
    assert "ZeroDivisionError: a defect" in capfd.readouterr().err


DRIVE = """
import functools, sys
from pathlib import Path
import batch_tasks
from gpen_core.batch.driver import drive
from gpen_core.batch.local import LocalPool

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    load = functools.partial(batch_tasks.load, str(folder / "seen"), seconds=0.1)
    with LocalPool(load, 2) as pool:
        for result in drive(batch_tasks.make_tasks(folder, ["a"] * 1000), pool, chunk_size=16):
            print(result.name, flush=True)
"""


@pytest.mark.slow  # processes
def test_workers_end_with_the_process_that_made_them(tmp_path):
    script = tmp_path / "drive_tasks.py"
    script.write_text(DRIVE)
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root), str(root / "tests/support")])
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    )
    assert driver.stdout is not None
    driver.stdout.readline()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    time.sleep(2)
    count = len(list(tmp_path.glob("*.txt")))
    time.sleep(1)
    assert len(list(tmp_path.glob("*.txt"))) == count < 100
    assert not list(tmp_path.glob(".gpen*"))


def test_workers_share_the_cores_out():
    assert share_cores(1) == count_cores()
    assert share_cores(count_cores()) == 1
    assert share_cores(10_000) == 1


def test_the_end_of_a_process_is_said_in_words():
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-250) == "was killed by signal 250"
