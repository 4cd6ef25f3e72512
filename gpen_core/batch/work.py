"""Tasks, their results, and chunks of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

DONE, FAILED, LEFT = "done", "failed", "left"
"""The states of a result. A task that was begun and not ended is left."""


class Task(NamedTuple):
    """One result that is to be made.

    Attributes:
        name: names the result, usually by its path. Names are unique.
        source: names the input, for messages.
        payload: all that the worker must know; it can be pickled.
        tries: how often the task lost its worker while it was alone.
        again: an earlier try may have left a result, which this one replaces.
    """

    name: str
    source: str
    payload: Any
    tries: int = 0
    again: bool = False


class Result(NamedTuple):
    """How a task went.

    Attributes:
        name, source: those of the task.
        state: `DONE` or `FAILED`.
        text: what was done, or why it failed.
        tries: how often it was begun, this time included.
        worker: names the worker.
        seconds: how long it took.
        bytes: the length of the file that was written.
        faces: the faces that were changed; None where nobody counts them.
        notices: what the user should know, each as (name of a file, message).
    """

    name: str
    source: str
    state: str
    text: str
    tries: int = 1
    worker: str = ""
    seconds: float = 0.0
    bytes: int | None = None
    faces: int | None = None
    notices: tuple[tuple[str, str], ...] = ()


class Chunk(NamedTuple):
    """Tasks that one worker does in a row.

    Attributes:
        number: tells chunks of one run apart.
        tasks: the tasks.
    """

    number: int
    tasks: tuple[Task, ...]


Work = Callable[[Task], Result]
"""Does one task. It returns a failed result for a bad file, and raises only for a defect."""

Load = Callable[..., Work]
"""Loads networks and returns what does a task. It can be pickled, and may raise `GPENError`."""


def choose_chunk_size(tasks: int, workers: int, most: int = 16) -> int:
    """Return how many tasks make a chunk: few enough that all workers end at about one time."""
    return max(1, min(most, tasks // (8 * max(1, workers))))
