"""Workers on a Ray cluster, of which one serves this whole module."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import batch_tasks
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.batch import actors
from gpen_core.batch.actors import RayPool, connect, copy_files
from gpen_core.batch.driver import drive
from gpen_core.batch.work import DONE, FAILED
from gpen_core.errors import GPENError

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture(scope="module")
def cluster():
    """A cluster of four pretended cores; its workers find the modules of tests/support."""
    if importlib.util.find_spec("ray") is None:  # imported, it would not look for its token again
        pytest.skip("pip install ray to run this")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(SUPPORT)
    ray, is_ours = connect(None, 4)
    assert is_ours
    yield ray
    with warnings.catch_warnings():  # Ray leaves its processes to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        ray.shutdown()
        gc.collect()
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow  # actors are replaced
def test_a_file_that_kills_its_actor_is_failed_and_all_others_are_done(cluster, tmp_path):
    words = ["a", "b", "kill", "bad", "c", "d", "e", "f"]
    tasks = batch_tasks.make_tasks(tmp_path, words)
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"))
    with RayPool(load, workers=2, threads=2) as pool:
        results = {r.source: r for r in drive(tasks, pool, chunk_size=2, tries=2)}
    states = {source: result.state for source, result in results.items()}
    assert states == {f"{n}: {w}": DONE for n, w in enumerate(words)} | {
        "2: kill": FAILED, "3: bad": FAILED,
    }  # fmt: skip
    assert "was lost (ActorDiedError) each of the 2 times" in results["2: kill"].text
    begun = Counter(line.rsplit(" ", 1)[0] for line in (tmp_path / "seen").open())
    assert begun["2: kill"] == 3
    written = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert written == {f"{n}.txt": f"{words[n]} 2" for n in (0, 1, 4, 5, 6, 7)}
    assert not list(tmp_path.glob(".gpen*"))


@pytest.mark.slow  # actors are replaced
def test_a_chunk_that_waits_is_not_to_blame(cluster, tmp_path):
    tasks = batch_tasks.make_tasks(tmp_path, ["kill", "a"])
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"))
    with RayPool(load, workers=1, threads=1) as pool:
        results = {r.source: r.state for r in drive(tasks, pool, chunk_size=1, tries=1)}
    assert results == {"0: kill": FAILED, "1: a": DONE}


def test_two_actors_do_all_chunks_and_a_defect_fails_its_file_only(cluster, tmp_path):
    words = ["a", "raise", "b", "bad", "c"]
    tasks = batch_tasks.make_tasks(tmp_path, words)
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"))
    with RayPool(load, workers=2, threads=2) as pool:
        results = {r.source: r for r in drive(tasks, pool, chunk_size=2, tries=1)}
    states = [results[f"{n}: {word}"].state for n, word in enumerate(words)]
    assert states == [DONE, FAILED, DONE, FAILED, DONE]
    assert "ZeroDivisionError('a defect')" in results["1: raise"].text
    assert results["0: a"].worker.split(":")[0] == socket.gethostname()
    written = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert written == {f"{n}.txt": f"{words[n]} 2" for n in (0, 2, 4)}
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_model_that_cannot_be_loaded_ends_the_run_with_its_message(cluster, tmp_path):
    tasks = batch_tasks.make_tasks(tmp_path, ["a"])
    load = functools.partial(batch_tasks.load, str(tmp_path / "seen"), refuse="no such model")
    with RayPool(load, workers=1, threads=1) as pool, pytest.raises(GPENError, match="no such"):
        list(drive(tasks, pool))


def test_workers_take_no_more_cores_than_there_are(cluster):
    for options, workers, threads in [
        ({"workers": 9, "threads": 2}, 2, 2),
        ({"workers": 2}, 2, 2),
        ({"threads": 9}, 1, 4),
        ({}, 1, 4),
    ]:
        with RayPool(lambda: None, **options, on_cpu=True) as pool:
            assert (pool.workers, pool.threads, pool.device) == (workers, threads, "cpu")


def test_a_worker_that_lacks_a_file_gets_a_copy_once(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path / "cache"))
    here, digest = tmp_path / "model.pth", actors.sha256(SUPPORT / "batch_tasks.py")
    contents = (SUPPORT / "batch_tasks.py").read_bytes()
    files = [(str(here), (digest, cluster.put(contents)))]
    places = copy_files(files)
    copy = Path(places[str(here)])
    assert copy.read_bytes() == contents
    assert copy.suffix == ".pth"
    before = copy.stat()
    assert copy_files(files) == places
    assert copy.stat() == before
    here.write_bytes(contents)
    assert copy_files(files) == {}


def test_a_copy_goes_into_no_folder_that_others_can_write_into(tmp_path, monkeypatch):
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path))
    (tmp_path / "files").mkdir()
    (tmp_path / "files").chmod(0o777)
    files = [(str(tmp_path / "model.pth"), ("0" * 64, None))]
    with pytest.raises(GPENError, match=r"others can write into it\. Set GPEN_CACHE"):
        copy_files(files)


@pytest.mark.slow  # two actors import PyTorch
def test_results_are_those_of_local_processes_byte_for_byte(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")
    Path("in").mkdir()
    random = np.random.default_rng(2)
    for number in range(6):
        pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"in/{number}.png")
    words = ["restore", "in", "--model", "small.safetensors", "--aligned", "--jobs", "2"]
    words += ["--threads", "2", "--device", "cpu"]
    ray = ["--engine", "ray", "--journal", "run.sqlite"]
    assert cli.main([*words, "-o", "ray", *ray]) == 0
    assert cli.main([*words, "-o", "local"]) == 0
    results = [{p.name: p.read_bytes() for p in Path(n).iterdir()} for n in ("ray", "local")]
    assert results[0] == results[1]
    assert len(results[0]) == 6


DRIVE = """
import functools, sys
from pathlib import Path
import batch_tasks
from gpen_core.batch.actors import RayPool
from gpen_core.batch.driver import drive

folder = Path(sys.argv[1])
load = functools.partial(batch_tasks.load, str(folder / "seen"), seconds=0.2)
with RayPool(load, workers=2, threads=1) as pool:
    import ray
    print(ray._private.worker._global_node.get_session_dir_path(), flush=True)
    for result in drive(batch_tasks.make_tasks(folder, ["a"] * 10000), pool, chunk_size=4):
        print(result.name, flush=True)
"""


def count_processes(word: str) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += word.encode() in path.read_bytes()
        except OSError:  # it ended
            continue
    return found


@pytest.mark.slow  # Ray takes up to five minutes
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
def test_a_cluster_ends_with_a_driver_that_was_killed(tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("pip install ray to run this")
    script = tmp_path / "drive_tasks.py"
    script.write_text(DRIVE)
    paths = os.pathsep.join([str(SUPPORT.parents[1]), str(SUPPORT)])
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    session = driver.stdout.readline().strip()
    assert session
    driver.stdout.readline()
    assert count_processes(session) > 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    end = time.monotonic() + 300
    while count_processes(session) and time.monotonic() < end:
        time.sleep(1)
    assert count_processes(session) == 0
    assert not list(tmp_path.glob(".gpen*"))


@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused(monkeypatch, tmp_path, capsys):
    code = cli.main(["restore", "a.jpg", "-o", "b.jpg", "--address", "10.0.0.1:6379"])
    assert code == 2
    assert "--address has no effect without --engine ray" in capsys.readouterr().err
