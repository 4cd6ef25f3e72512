"""`gpen restore --journal` and `--jobs`: many files, by several workers, with a memory."""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING

from ..batch.driver import drive
from ..batch.journal import Entry, Journal
from ..batch.spec import hash_input
from ..batch.work import DONE, FAILED, LEFT, Task, choose_chunk_size
from ..errors import GPENError
from ..files import exists
from .batch_work import load_work, pack_job
from .image_files import SAID_ONCE
from .inputs import Problem
from .jobs import plan_from_options, plan_jobs
from .running import Outcome, Reporter, make_bar, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ..batch.driver import Pool
    from ..batch.journal import Row
    from ..batch.work import Load, Result
    from .jobs import Job
    from .restorer import RestoreOptions

NOT_IN_WORKERS = ("run", "inputs", "output", "journal")
"""Options that workers do not need."""


def run_batch(args: RestoreOptions, extras: Sequence[str]) -> int:
    """Restore every file by workers, report those that fail, and return the exit code."""
    reporter = Reporter(as_json=args.json)
    if args.journal is not None:
        with Journal(args.journal, lambda message: report(str(args.journal), message)) as journal:
            _run_journal(args, extras, journal, reporter)
    else:
        jobs, problems = plan_from_options(args, extras)
        reporter.begin(problems)
        tasks = (_make_task(job, again=args.overwrite) for job in jobs)
        _do(args, tasks, len(jobs), reporter)
    return reporter.end()


def _run_journal(
    args: RestoreOptions, extras: Sequence[str], journal: Journal, reporter: Reporter
) -> None:
    """Plan what the journal says is left, and do it."""
    from .batch_spec import describe_run  # imports PyTorch

    if args.skip_existing:
        raise GPENError(
            "--skip-existing and --journal contradict each other: the journal knows which results "
            "are finished. Leave --skip-existing out."
        )
    jobs, problems = plan_jobs(
        args.inputs, args.output, overwrite=True, extras=extras, suffix=args.ext
    )
    base, about = describe_run(args)
    entries = _list_entries(args, jobs, problems, journal, base)
    journal.begin(entries, about, retry_failed=args.retry_failed)
    reporter.begin(problems)
    counts = journal.count()
    reporter.counts["skipped"] += counts[DONE]
    if counts[DONE] or counts[FAILED]:
        again = f", {counts[FAILED]} failed (--retry-failed tries them again)"
        report(
            str(args.journal),
            f"{counts[DONE]} done already{again if counts[FAILED] else ''}, {counts[LEFT]} left.",
        )
    for row in journal.read(FAILED):
        reporter.fail(row.source, row.error or "failed", target=row.id)
    tasks = (_make_row_task(row) for row in journal.read(LEFT))
    _do(args, tasks, counts[LEFT], reporter, journal.record)


def _list_entries(
    args: RestoreOptions, jobs: Iterable[Job], problems: list[Problem], journal: Journal, base: str
) -> Iterator[Entry]:
    """Yield the results to ask for; those that may not be written become problems."""
    for job in jobs:
        target = os.path.abspath(job.target)  # noqa: PTH100  resolves "..", not links
        try:
            status = os.stat(job.source)  # noqa: PTH116
            spec = hash_input(base, job.source, status, contents=args.hash_inputs)
        except OSError as error:
            problems.append(Problem(str(job.source), str(error)))
            continue
        there = _find_length(target)
        if there is not None and not args.overwrite:
            reason = _refuse_replacing(journal.find(target), target, there)
            if reason:
                problems.append(Problem(str(job.source), reason))
                continue
        yield Entry(target, str(job.source), json.dumps(pack_job(job)), spec, there)


def _find_length(target: str) -> int | None:
    try:
        return os.stat(target).st_size  # noqa: PTH116
    except OSError:
        return 0 if exists(target) else None


def _refuse_replacing(row: Row | None, target: str, length: int) -> str | None:
    """Return the reason why the file at a result's path may not be replaced, if there is one."""
    if row is None or row.state == FAILED:
        return f"{target} exists, and this journal did not make it; pass --overwrite to replace it"
    if row.state == DONE and row.bytes != length:
        return (
            f"{target} has {length} bytes, and this journal made it with {row.bytes}: somebody "
            "changed it. Pass --overwrite to replace it, or move it away"
        )
    return None


def _make_task(job: Job, *, again: bool) -> Task:
    return Task(str(job.target), str(job.source), pack_job(job), again=again)


def _make_row_task(row: Row) -> Task:
    # Planning refused files that are not ours.
    return Task(row.id, row.source, tuple(json.loads(row.payload)), again=True)


def _do(
    args: RestoreOptions,
    tasks: Iterable[Task],
    total: int,
    reporter: Reporter,
    record: Callable[[Result], None] = lambda result: None,
) -> None:
    """Do tasks by workers, and report and record each result."""
    if not total:
        return
    workers = min(args.jobs or 1, total)
    told: set[str] = set()
    with make_pool(args, workers) as pool, make_bar(total) as bar:
        size = choose_chunk_size(total, workers)
        for result in drive(tasks, pool, chunk_size=size, tries=args.tries):
            record(result)
            for name, message in result.notices:
                if message not in told:
                    report(name, message)
                if message.endswith(SAID_ONCE):
                    told.add(message)
            if result.state == DONE:
                outcome = Outcome(result.text, result.faces)
                reporter.finish(result.source, result.name, outcome, result.seconds)
            else:
                reporter.fail(
                    result.source, result.text, target=result.name, seconds=result.seconds
                )
            bar.update()


def make_load(args: RestoreOptions) -> Load:
    """Return a function that loads the networks in a worker."""
    options = {name: value for name, value in vars(args).items() if name not in NOT_IN_WORKERS}
    return functools.partial(load_work, options)


def make_pool(args: RestoreOptions, workers: int) -> AbstractContextManager[Pool]:
    """Make the workers that the options ask for."""
    from ..batch.local import LocalPool

    return LocalPool(make_load(args), workers)
