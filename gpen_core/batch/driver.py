"""Hand chunks of tasks to a pool of workers, and do again what a lost worker had."""

from __future__ import annotations

from collections import deque
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .work import FAILED, Chunk, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .work import Task

TRIES = 3
"""How often a file may lose its worker before it counts as failed."""
PATIENCE = 1.0
"""Seconds that the driver waits for events at a time."""


class Finished(NamedTuple):
    """A task of a chunk has ended."""

    chunk: int
    result: Result


class Completed(NamedTuple):
    """A worker did all tasks of a chunk."""

    chunk: int


class Lost(NamedTuple):
    """A worker died with a chunk. Tasks of which no result came are not done.

    Attributes:
        chunk: the number of the chunk.
        reason: how the worker died, such as "was killed by SIGKILL".
        blame: the worker had begun, so that a task may have killed it.
    """

    chunk: int
    reason: str
    blame: bool = True


Event = Finished | Completed | Lost


class Pool(Protocol):
    """Workers that do chunks."""

    def has_room(self) -> bool:
        """Tell whether a chunk can be submitted now."""
        ...

    def submit(self, chunk: Chunk) -> None:
        """Give a chunk to a worker."""
        ...

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened since the last call; wait at most `timeout` seconds for it.

        Raises:
            GPENError: no worker can begin, because a model is missing, say.
        """
        ...


def drive(
    tasks: Iterable[Task], pool: Pool, *, chunk_size: int = 1, tries: int = TRIES
) -> Iterator[Result]:
    """Yield one result for each task, in the order in which they end.

    The tasks of a chunk that lost its worker are done again, each in a chunk of its own. A task
    that lost its worker `tries` times while it was alone has failed.

    Args:
        tasks: read only as fast as they are done, so that there may be any number of them.
        pool: the workers.
        chunk_size: tasks in a chunk.
        tries: how often a task may lose its worker.

    Raises:
        GPENError: no worker can begin.
    """
    chunks = _Chunks(iter(tasks), chunk_size, tries)
    while True:
        while pool.has_room() and (chunk := chunks.take()) is not None:
            pool.submit(chunk)
        if not chunks.running:
            return
        for event in pool.wait(PATIENCE):
            result = chunks.note(event)
            if result is not None:
                yield result


class _Chunks:
    """The tasks of a run on their way: those to do again, alone, and those that workers have.

    Attributes:
        running: by the number of a chunk, its tasks of which no result came yet, by their names.
    """

    def __init__(self, tasks: Iterator[Task], chunk_size: int, tries: int) -> None:
        self._tasks, self._chunk_size, self._tries = tasks, chunk_size, tries
        self._numbers = count()
        self._alone: deque[Task] = deque()
        self.running: dict[int, dict[str, Task]] = {}

    def take(self) -> Chunk | None:
        """Return the next chunk, or None if all tasks are done or in work."""
        if self._alone:
            tasks = (self._alone.popleft(),)
        else:
            tasks = tuple(islice(self._tasks, self._chunk_size))
        if not tasks:
            return None
        chunk = Chunk(next(self._numbers), tasks)
        self.running[chunk.number] = {task.name: task for task in tasks}
        return chunk

    def note(self, event: Event) -> Result | None:
        """Take notice of an event; return the result that it brings."""
        if isinstance(event, Finished):
            task = self.running[event.chunk].pop(event.result.name)
            return event.result._replace(tries=task.tries + 1)
        lost = [*self.running.pop(event.chunk).values()]
        if isinstance(event, Completed):
            return None
        # Only a task that was alone is to blame for its worker's death.
        blame = int(event.blame and len(lost) == 1)
        for task in lost:
            task = task._replace(tries=task.tries + blame, again=True)
            if task.tries >= self._tries:
                return _fail(task, event.reason)
            self._alone.append(task)
        return None


def _fail(task: Task, reason: str) -> Result:
    text = (
        f"its worker {reason} each of the {task.tries} times that it had this file alone. The file "
        "is left out: it may be damaged, or too large for the memory"
    )
    return Result(task.name, task.source, FAILED, text, tries=task.tries)
