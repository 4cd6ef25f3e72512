"""Workers on this machine: spawned processes that share the cores out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import connection
from typing import TYPE_CHECKING

from ..errors import GPENError
from .driver import Completed, Event, Finished, Lost

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from .work import Chunk, Load

STARTS = 3
"""Workers in a row that may die before they are ready."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip
"""Environment variables that libraries read when they are loaded."""
PLACE_VARIABLE = "GPEN_WORKER"
"""Tells a worker its number from 0, so that workers can take different GPUs."""


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cores(workers: int) -> int:
    """Return the threads of each of several workers, so that together they fill the cores."""
    return max(1, count_cores() // workers)


class LocalPool:
    """Spawned processes, each of which loads the networks once and does one chunk at a time.

    A worker sends each result at once, so that a death costs no finished file. Workers end when
    the pool is closed, and when the process that made it dies.

    Args:
        load: makes what does a task; it runs in each worker.
        workers: how many processes.
        threads: threads of each; None shares the cores out.

    Attributes:
        threads: threads of each.
        device: the kind of device, None where the options say it.
    """

    device: str | None = None

    def __init__(self, load: Load, workers: int, threads: int | None = None) -> None:
        self._load = load
        self.threads = share_cores(workers) if threads is None else threads
        self._workers: list[_Worker | None] = [None] * workers
        self._early_deaths = 0

    @property
    def workers(self) -> int:
        """The number of processes, which are started when there is work for them."""
        return len(self._workers)

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_room(self) -> bool:
        return any(worker is None or worker.chunk is None for worker in self._workers)

    def submit(self, chunk: Chunk) -> None:
        for place, worker in enumerate(self._workers):
            if worker is None:
                self._workers[place] = worker = _Worker(self._load, self.threads, place)
            if worker.chunk is None:
                worker.give(chunk)
                return
        raise RuntimeError("no worker is free")

    def wait(self, timeout: float) -> list[Event]:
        busy = {
            worker.connection: place
            for place, worker in enumerate(self._workers)
            if worker is not None and worker.chunk is not None
        }
        events: list[Event] = []
        for ready in connection.wait(list(busy), timeout):
            events += self._read(busy[ready])  # type: ignore[index]
        return events

    def _read(self, place: int) -> list[Event]:
        worker = self._workers[place]
        assert worker is not None
        assert worker.chunk is not None
        number = worker.chunk
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):  # the worker died
            reason = worker.stop()
            self._workers[place] = None
            if not worker.is_ready:
                self._early_deaths += 1
                if self._early_deaths >= STARTS:
                    raise GPENError(
                        f"{STARTS} workers in a row ended while they loaded the model: the last "
                        f"one {reason}. Try fewer --jobs, or the same command without --jobs."
                    ) from None
            return [Lost(number, reason, blame=worker.is_ready)]
        if kind == "refused":
            raise GPENError(value)
        if kind == "ready":
            worker.is_ready, self._early_deaths = True, 0
            return []
        if kind == "result":
            return [Finished(number, value)]
        worker.chunk = None
        return [Completed(number)]

    def close(self) -> None:
        """End all workers, in the middle of a file too: nothing half written gets its name."""
        alive = [worker for worker in self._workers if worker is not None]
        for worker in alive:
            worker.connection.close()  # an idle one ends by itself
        for worker in alive:
            worker.stop()
        self._workers = [None] * len(self._workers)


class _Worker:
    """The parent's end of one process.

    Attributes:
        connection: its results arrive here.
        chunk: the number of the chunk that it does; None if it waits for one.
        is_ready: it has loaded its networks.
    """

    def __init__(self, load: Load, threads: int, place: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.chunk: int | None = None
        self.is_ready = False
        self._process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, load, threads, f"{place}"), daemon=True
        )
        self._process.start()
        theirs.close()  # so that reading fails once the worker is dead

    def give(self, chunk: Chunk) -> None:
        self.chunk = chunk.number
        # A dead worker is noticed when its results are read.
        with contextlib.suppress(OSError):
            self.connection.send(chunk.tasks)

    def stop(self) -> str:
        """End the process if it still runs; return in words how it ended."""
        self.connection.close()
        self._process.join(0.2 if self.chunk is not None else 1.0)
        self._process.terminate()
        self._process.join(2.0)
        self._process.kill()
        self._process.join()
        return describe_exit(self._process.exitcode)


def describe_exit(code: int | None) -> str:
    """Say how a process ended: "was killed by SIGKILL", "ended with exit code 3"."""
    if code is not None and code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def limit_threads(threads: int) -> None:
    """Let the libraries that are loaded from now on use that many threads."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    # Several workers on one machine wait for each other's threads: they shall not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _serve(theirs: Connection, load: Load, threads: int, name: str) -> None:
    """Do chunks until the parent closes its end. A defect ends the process with its traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this one
    limit_threads(threads)
    os.environ[PLACE_VARIABLE] = name
    try:
        work = load()
        theirs.send(("ready", None))
        while True:
            for task in theirs.recv():
                theirs.send(("result", work(task)._replace(worker=name)))
            theirs.send(("completed", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        return
    except GPENError as error:  # of loading
        theirs.send(("refused", str(error)))
