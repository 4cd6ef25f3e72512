"""Tasks of batches that need no network, and the function that does them in a worker."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path

from gpen_core.batch.work import DONE, FAILED, Result, Task
from gpen_core.errors import GPENError
from gpen_core.files import write_atomically


def make_tasks(folder: Path, words: list[str]) -> list[Task]:
    """One task for each word; see `load`."""
    return [
        Task(str(folder / f"{number}.txt"), f"{number}: {word}", word)
        for number, word in enumerate(words)
    ]


def load(seen: str, *, refuse: str = "", die: bool = False, seconds: float = 0):
    """Return what does a task: it writes the word of the task into the file of its name.

    Args:
        seen: a file to which each task that is begun adds a line.
        refuse: raise this GPENError instead.
        die: end the process instead.
        seconds: how long a task takes.

    The words "kill", "raise" and "bad" end the process, raise a defect and fail.
    """
    if refuse:
        raise GPENError(refuse)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    return functools.partial(_work, seen, seconds)


def _work(seen: str, seconds: float, task: Task) -> Result:
    with Path(seen).open("a", encoding="utf-8") as file:
        file.write(f"{task.source} {task.again}\n")
    if task.payload == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.payload == "raise":
        raise ZeroDivisionError("a defect")
    if task.payload == "bad":
        return Result(task.name, task.source, FAILED, "is bad")
    time.sleep(seconds)
    target = Path(task.name)
    with write_atomically(target, overwrite=task.again) as scratch:
        scratch.write_text(f"{task.payload} {os.environ.get('OMP_NUM_THREADS')}", encoding="utf-8")
    return Result(task.name, task.source, DONE, "written", bytes=target.stat().st_size, faces=1)
