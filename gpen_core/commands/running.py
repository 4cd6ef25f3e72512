"""Do the jobs of a command one after the other, and say how each went."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from ..batch.work import FAILED as FAILED_TASK
from ..batch.work import Result
from ..printable import printable_lines
from . import FAILED
from .arguments import add_name, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tqdm import tqdm

    from ..batch.work import Task
    from .inputs import Problem
    from .jobs import AnyJob

SAID_ONCE = "(said once)."
"""Ends a message that a run prints once, not for every file."""
ADVICE = "try a smaller --scale or --device cpu"
"""Advice where memory ran out."""


class Outcome(NamedTuple):
    """How a job went.

    Attributes:
        text: a short description; further lines hold what the user should know.
        faces: the faces that were changed; None where nobody counts them.
    """

    text: str
    faces: int | None = None


class OnJobProgress(Protocol):
    """Called with how far a job is. It may raise to stop the work."""

    def __call__(self, done: int, total: int, words: str | None = None, /) -> None:
        """Take what is done of all, and say it in words; without them, faces are counted."""
        ...


J = TypeVar("J", bound="AnyJob")
Work = Callable[[J, OnJobProgress], Outcome]
"""Does one job of a command; returns what was done. Networks were loaded before."""


class Reporter:
    """Prints how each file went, for people or as lines of JSON, and counts.

    Attributes:
        counts: the number of files by their state: done, failed and skipped.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.counts = {"done": 0, "failed": 0, "skipped": 0}

    def finish(self, source: str, target: str, outcome: Outcome, seconds: float) -> None:
        """Print what was done to a file."""
        self.counts["done"] += 1
        if self.as_json:
            self._print_line(source, target, "done", outcome, seconds)
        else:
            _write(printable_lines(f"{source} → {target}: {outcome.text}"))

    def fail(
        self, source: str, reason: str, *, target: str | None = None, seconds: float | None = None
    ) -> None:
        """Print why a file failed."""
        self.counts["failed"] += 1
        report(source, reason)
        if self.as_json:
            self._print_line(source, target, "failed", Outcome(reason), seconds)

    def begin(self, problems: Sequence[Problem]) -> None:
        """Print the files and patterns for which there is no job."""
        for problem in problems:
            if not problem.is_skipped:
                self.fail(problem.name, problem.reason)
            elif self.as_json:
                self._print_line(problem.name, None, "skipped", Outcome(problem.reason), None)
        skipped = sum(problem.is_skipped for problem in problems)
        self.counts["skipped"] += skipped
        if skipped and not self.as_json:
            print(f"{skipped} skipped: their results exist.")

    def end(self) -> int:
        """Print the counts; return the exit code."""
        done, failed = self.counts["done"], self.counts["failed"]
        if self.as_json:
            _write(json.dumps(self.counts))
        if failed:
            print(f"gpen: {failed} of {done + failed} failed, {done} done.", file=sys.stderr)
        return FAILED if failed else 0

    def _print_line(
        self, source: str, target: str | None, state: str, outcome: Outcome, seconds: float | None
    ) -> None:
        line = {
            "source": source,
            "target": target,
            "state": state,
            "faces": outcome.faces,
            "seconds": None if seconds is None else round(seconds, 3),
            "outcome": outcome.text if state == "done" else None,
            "error": None if state == "done" else outcome.text,
        }
        _write(json.dumps(line))


def run_jobs(
    jobs: Sequence[J],
    problems: Sequence[Problem],
    load: Callable[[], Work[J]],
    *,
    as_json: bool = False,
    advice: str = ADVICE,
) -> int:
    """Do every job with a progress bar, report those that fail, and return the exit code.

    Args:
        jobs: the files to do.
        problems: the files or patterns that failed already or are skipped.
        load: loads networks and returns what does a job; called only if there is a job.
        as_json: print lines of JSON.
        advice: what to try if memory runs out.
    """
    reporter = Reporter(as_json=as_json)
    reporter.begin(problems)
    if jobs:
        work = load()
        with make_bar(len(jobs)) as bar:
            for number, job in enumerate(jobs):
                on_progress = show_progress(job, bar, number)
                attempt(work, job, on_progress, reporter, advice=advice)
                bar.update(number + 1 - bar.n)
    return reporter.end()


def make_bar(total: int) -> tqdm:
    """Return a progress bar over that many files; it shows itself on a terminal only."""
    from tqdm import tqdm

    layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=total, disable=None, bar_format=layout)


def show_progress(job: AnyJob, bar: tqdm, number: int) -> OnJobProgress:
    """Return a callback that shows the progress of a job, the `number`-th, on the bar."""

    def on_progress(done: int, total: int, words: str | None = None, /) -> None:
        words = words or f"face {done} of {total}"
        bar.set_postfix_str(f"{job.source.name}: {words}", refresh=False)
        bar.update(number + done / total - bar.n)

    return on_progress


def attempt(
    work: Work[J], job: J, on_progress: OnJobProgress, reporter: Reporter, *, advice: str
) -> None:
    """Do one job and report the outcome.

    Args:
        work: does it.
        job: the job.
        on_progress: passed to `work`.
        reporter: prints how it went.
        advice: what to try if memory runs out.
    """
    begun = time.perf_counter()
    source, target = str(job.source), str(job.target)
    try:
        outcome = work(job, on_progress)
    except Exception as error:
        reason = explain(error, out_of_memory=advice)
        if reason is None:
            raise
        reporter.fail(source, reason, target=target, seconds=time.perf_counter() - begun)
    else:
        reporter.finish(source, target, outcome, time.perf_counter() - begun)


def do_task(task: Task, do: Callable[[], Result]) -> Result:
    """Do a worker's task; what a user can mend becomes the result that it failed."""
    begun = time.perf_counter()
    try:
        result = do()
    except Exception as error:
        reason = explain(error, out_of_memory=ADVICE)
        if reason is None:
            raise
        result = Result(task.name, task.source, FAILED_TASK, reason)
    return result._replace(seconds=time.perf_counter() - begun)


def report(name: str, reason: str) -> None:
    """Print what happened to a file on stderr, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(printable_lines(f"gpen: {add_name(name, reason)}"), file=sys.stderr)


def _write(line: str) -> None:
    """Print a line on stdout, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stdout)
