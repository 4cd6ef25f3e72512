"""What the journal, the driver and a restart cost, with files that take no work.

python benchmarks/batch.py            # 20,000 files; needs no GPU and about a minute

Workers write an empty result or sleep, so that all that is measured is ours.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from gpen_core import cli
from gpen_core.batch.driver import Completed, Finished, drive
from gpen_core.batch.journal import Entry, Journal
from gpen_core.batch.local import LocalPool
from gpen_core.batch.work import DONE, LEFT, Result, Task, choose_chunk_size
from gpen_core.commands import batch

PARTS = ("journal", "restart", "driver")


def work_nothing(task: Task) -> Result:
    return Result(task.name, task.source, DONE, "", bytes=0, faces=1)


def load_nothing():
    return work_nothing


def load_sleeping(seconds: float):
    return functools.partial(sleep, seconds)


def sleep(seconds: float, task: Task) -> Result:
    time.sleep(seconds)
    return work_nothing(task)


class Here:
    """A pool in this process, so that only the driver and the journal are measured."""

    def __init__(self, work):
        self._work, self._chunks = work, deque()

    def has_room(self):
        return not self._chunks

    def submit(self, chunk):
        self._chunks.append(chunk)

    def wait(self, timeout):
        chunk = self._chunks.popleft()
        events = [Finished(chunk.number, self._work(task)) for task in chunk.tasks]
        return [*events, Completed(chunk.number)]


def peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure_journal(folder: Path, files: int) -> None:
    entries = (
        Entry(f"/out/{i:06}.jpg", f"/in/{i:06}.jpg", "[]", "s" * 32, None) for i in range(files)
    )
    begun = time.perf_counter()
    with Journal(folder / "journal.sqlite") as journal:
        journal.begin(entries, "about")
        planned = time.perf_counter()
        tasks = (Task(row.id, row.source, row.payload) for row in journal.read(LEFT))
        before = peak_megabytes()
        for result in drive(tasks, Here(work_nothing), chunk_size=16):
            journal.record(result)
        journal.flush()
        done = time.perf_counter()
    each = 1000 / files
    print(
        f"journal, {files} files: planned {(planned - begun) * each:.3f} ms a file, done and "
        f"noted {(done - planned) * each:.3f} ms a file; memory grew by "
        f"{peak_megabytes() - before:.1f} MB"
    )


def measure_restart(folder: Path, files: int) -> None:
    (folder / "in").mkdir()
    for number in range(files):
        (folder / "in" / f"{number:06}.jpg").write_bytes(b"")
    words = ["restore", str(folder / "in"), "-o", str(folder / "out"), "--aligned", "--journal"]
    words += [str(folder / "run.sqlite"), "--device", "cpu"]
    batch.load_work = load_writing
    for name in ("first run, one process that writes empty files", "restart, all finished"):
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = cli.main(words)
        seconds = time.perf_counter() - begun
        print(
            f"{name}, {files} files: {seconds:.1f} s, exit code {code}, "
            f"peak {peak_megabytes():.0f} MB"
        )


def load_writing(options, places=None):
    return write_empty


def write_empty(task: Task) -> Result:
    path = Path(task.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return work_nothing(task)


def measure_driver(workers: int, seconds: float, files: int) -> None:
    tasks = (Task(str(i), str(i), None) for i in range(files))
    with LocalPool(functools.partial(load_sleeping, seconds), workers, threads=1) as pool:
        first = drive((Task(f"w{i}", "", None) for i in range(4 * workers)), pool)
        deque(first, maxlen=0)  # all processes have begun
        begun, cpu = time.perf_counter(), time.process_time()
        size = choose_chunk_size(files, workers)
        deque(drive(tasks, pool, chunk_size=size), maxlen=0)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    ideal = files * seconds / workers
    print(
        f"driver, {workers} workers that sleep {seconds} s, {files} files: "
        f"{files / wall:.0f} files a second, {100 * ideal / wall:.0f} % of the ideal; the driver "
        f"took {1000 * cpu / files:.3f} ms of processor time a file"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for files in (args.files // 10, args.files) if "journal" in args.parts else ():
            (Path(folder) / str(files)).mkdir()
            measure_journal(Path(folder) / str(files), files)
        if "restart" in args.parts:
            measure_restart(Path(folder), args.files)
    if "driver" in args.parts:
        measure_driver(args.workers, args.seconds, args.workers * 40)


if __name__ == "__main__":
    main()
