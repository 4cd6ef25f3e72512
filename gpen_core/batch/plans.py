"""Plans: a folder of chunks that any scheduler runs, and what came of each.

`plan.json` holds what all chunks share, `chunks/000000.json` … the tasks, and
`results/000000.jsonl` … a line for each task that was begun or has ended. The folder lies where all
machines see it; each chunk's results are written by the one process that does the chunk.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import GPENError
from ..files import exists, hold_alone, is_file, write_atomically
from ..urls import find_length
from .journal import Entry, Journal
from .work import DONE, FAILED, LEFT, Result, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .work import Load

VERSION = 1
JOURNAL = "journal.sqlite"
"""The name of the journal that `join` writes into the plan's folder."""


class Plan(NamedTuple):
    """A folder of chunks.

    Attributes:
        folder: the folder.
        options: what all tasks share, as the program that made the plan understands it.
        about: the same for people.
        chunks: the number of chunks.
        tasks: the number of tasks in all of them.
        tries: how often a task may end its process.
        wholes: what is made of several results at the end, as the program that made the plan
            understands it.
    """

    folder: Path
    options: dict[str, Any]
    about: str
    chunks: int
    tasks: int
    tries: int
    wholes: Sequence[Any] = ()

    def chunk_path(self, index: int) -> Path:
        """Return the file of a chunk's tasks."""
        return self.folder / "chunks" / f"{index:06}.json"

    def results_path(self, index: int) -> Path:
        """Return the file of a chunk's results."""
        return self.folder / "results" / f"{index:06}.jsonl"


def write_plan(
    folder: Path,
    chunks: Iterable[Sequence[Entry]],
    options: dict[str, Any],
    about: str,
    *,
    tries: int,
    wholes: Sequence[Any] = (),
) -> Plan:
    """Write the chunks of some results into a folder, `plan.json` last.

    Args:
        folder: the folder.
        chunks: the results of each chunk, read one after the other.
        options, about, tries, wholes: see `Plan`. `wholes` may grow while `chunks` are read.

    Raises:
        GPENError: the folder holds a plan already.
    """
    if exists(folder / "plan.json"):
        raise GPENError(
            f"{folder} holds a plan already. `gpen run-chunk` goes on with it; for another plan, "
            "name another folder or delete this one."
        )
    for name in ("chunks", "results"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    plan = Plan(folder, options, about, 0, 0, tries)
    for some in chunks:
        _write_json(plan.chunk_path(plan.chunks), some)
        plan = plan._replace(chunks=plan.chunks + 1, tasks=plan.tasks + len(some))
    plan = plan._replace(wholes=list(wholes))
    shared = {"version": VERSION, **plan._asdict()}
    del shared["folder"]
    _write_json(folder / "plan.json", shared)
    return plan


def split_chunks(entries: Iterable[Entry], chunk_size: int) -> Iterator[list[Entry]]:
    """Yield chunks of that many results, the last one smaller."""
    waiting = iter(entries)
    while some := list(islice(waiting, chunk_size)):
        yield some


def read_plan(folder: Path) -> Plan:
    """Read a plan.

    Raises:
        GPENError: the folder holds none, or one of another version.
    """
    path = folder / "plan.json"
    if not is_file(path):
        raise GPENError(f"{folder} holds no plan.json. Make a plan with `gpen chunk --plan`.")
    try:
        shared = json.loads(path.read_text(encoding="utf-8"))
        version = shared.pop("version")
        plan = Plan(folder, **shared) if version == VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GPENError(f"{path} is damaged: {error}. Make the plan again.") from error
    if plan is None:
        raise GPENError(f"{path}: expected version {VERSION}, found {version}. Make it again.")
    return plan


def run_chunk(
    plan: Plan, index: int, load: Load, *, retry_failed: bool = False
) -> Iterator[Result]:
    """Do the tasks of a chunk that are left, and yield their results.

    A task that ended its process `plan.tries` times has failed.

    Args:
        plan: the plan.
        index: the number of the chunk, from 0.
        load: makes what does a task; called only if a task is left.
        retry_failed: do again what failed.

    Raises:
        GPENError: there is no such chunk, another process does it, or no network can be loaded.
    """
    entries = read_chunk(plan, index)
    lock = hold_alone(plan.results_path(index).with_suffix(".lock"))
    if lock is None:
        raise GPENError(f"Chunk {index} of {plan.folder} is in work by another process.")
    with lock, plan.results_path(index).open("ab") as file:
        if file.tell():
            file.write(b"\n")  # ends a line that a killed process left
        past = _Past.read(plan.results_path(index))
        work = None
        for entry in entries:
            state = past.find_state(entry)
            if state == DONE or (state == FAILED and not retry_failed):
                continue
            begun = 0 if state == FAILED else past.begun[entry.id]
            # What an earlier try left at the path is ours.
            again = entry.again or begun > 0 or entry.id in past.results
            payload = json.loads(entry.payload)
            task = Task(entry.id, entry.source, payload, begun, again)
            if begun >= plan.tries:
                result = _blame(task, begun)
            else:
                work = work or load()
                _append(file, {"begun": entry.id})
                result = work(task)._replace(tries=begun + 1)
            _append(file, result._asdict())
            yield result


def read_chunk(plan: Plan, index: int) -> list[Entry]:
    """Read the tasks of a chunk.

    Raises:
        GPENError: there is no such chunk.
    """
    if not 0 <= index < plan.chunks:
        raise GPENError(
            f"{plan.folder} has {plan.chunks} chunks, numbered from 0; found --index {index}."
        )
    rows = json.loads(plan.chunk_path(index).read_text(encoding="utf-8"))
    return [Entry(*row) for row in rows]


class Joined(NamedTuple):
    """What came of a plan.

    Attributes:
        counts: the numbers of results by their state.
        left: the numbers of tasks left of each chunk that has some.
    """

    counts: dict[str, int]
    left: dict[int, int]


def join(plan: Plan, on_failed: Callable[[Result], None]) -> Joined:
    """Collect the results of all chunks in a journal, `JOURNAL` in the plan's folder.

    A result whose file is missing or has another length is left.

    Args:
        plan: the plan.
        on_failed: called with each result that failed.

    Raises:
        GPENError: the journal cannot be written, or is in use.
    """
    path = plan.folder / JOURNAL
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    left: dict[int, int] = {}
    with Journal(path) as journal:
        chunks = range(plan.chunks)
        entries = (entry for index in chunks for entry in read_chunk(plan, index))
        journal.begin(entries, plan.about)
        for index in chunks:
            past = _Past.read(plan.results_path(index))
            for entry in read_chunk(plan, index):
                state = past.find_state(entry)
                if state == LEFT:
                    left[index] = left.get(index, 0) + 1
                    continue
                result = past.results[entry.id]
                journal.record(result)
                if state == FAILED:
                    on_failed(result)
        journal.flush()
        return Joined(journal.count(), left)


class _Past(NamedTuple):
    """The lines of a chunk's results.

    Attributes:
        results: the last result of each task.
        begun: how often each task was begun since then.
    """

    results: dict[str, Result]
    begun: Counter[str]

    @classmethod
    def read(cls, path: Path) -> _Past:
        past = cls({}, Counter())
        if not is_file(path):
            return past
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                values = json.loads(line)
                if "begun" in values:
                    past.begun[values["begun"]] += 1
                    continue
                notices = tuple(map(tuple, values.pop("notices")))
                result = Result(**values, notices=notices)
            except (ValueError, KeyError, TypeError):  # a process was killed while it wrote
                continue
            past.results[result.name] = result
            del past.begun[result.name]
        return past

    def find_state(self, entry: Entry) -> str:
        """Tell how a task stands; a result counts only if its file has the length noted."""
        result = self.results.get(entry.id)
        if result is None:
            return LEFT
        if result.state != DONE:
            return result.state
        return DONE if find_length(entry.id) == result.bytes else LEFT


def _blame(task: Task, begun: int) -> Result:
    text = (
        f"its process ended {begun} times while it was in work. The file is left out: it may be "
        "damaged, or too large for the memory or for the job's time"
    )
    return Result(task.name, task.source, FAILED, text, tries=begun)


def _append(file: Any, values: dict[str, Any]) -> None:
    file.write(json.dumps(values).encode() + b"\n")
    file.flush()


def _write_json(path: Path, value: object) -> None:
    with write_atomically(path, overwrite=True) as scratch:
        scratch.write_text(json.dumps(value), encoding="utf-8")
