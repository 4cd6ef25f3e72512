"""`gpen restore --journal` and `--jobs`: many files, by several workers, with a memory."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .. import urls
from ..batch.driver import Pool, drive
from ..batch.journal import Entry, Journal
from ..batch.spec import hash_facts, hash_input
from ..batch.work import DONE, FAILED, LEFT, Task, choose_chunk_size
from ..errors import GPENError, ImageError
from ..files import exists, is_file
from .batch_options import RAY
from .batch_work import load_segments, load_work, make_absolute, pack_job
from .inputs import Problem
from .jobs import Job
from .running import SAID_ONCE, Outcome, Reporter, make_bar, report
from .url_jobs import UrlJob, plan_any
from .video_options import check_video_options, refuse_in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ..batch.journal import Row
    from ..batch.work import Load, Result
    from .restore_options import RestoreOptions

NOT_IN_WORKERS = ("run", "inputs", "output", "journal", "plan", "segments")
"""Options that workers do not need."""
FILE_OPTIONS = ("model", "detector_weights", "upscaler", "parser")
"""Options that may name a file."""


def run_batch(args: RestoreOptions, extras: Sequence[str]) -> int:
    """Restore every file by workers, report those that fail, and return the exit code."""
    reporter = Reporter(as_json=args.json)
    if args.journal is not None:
        plan = _plan_journal(args, extras)
        with (
            Journal(args.journal, lambda message: report(str(args.journal), message)) as journal,
            make_pool(args) as pool,
        ):
            _run_journal(args, *plan, journal, pool, reporter)
        return reporter.end()
    jobs, problems = plan_any(args, extras)
    check_video_options(args, jobs)
    films = [job for job in jobs if isinstance(job, Job) and job.is_film]
    if films:
        refuse_in_parts(args, "several processes")
    reporter.begin(problems)
    images = [job for job in jobs if not job.is_film]
    tasks = (_make_task(job, again=args.overwrite) for job in images)
    if images:
        with make_pool(args) as pool:
            _do(args, tasks, len(images), pool, reporter)
    if films:
        from .film_batch import restore_films  # imports PyTorch and PyAV

        with make_pool(args, load_segments) as pool:
            restore_films(args, films, pool, reporter)
    return reporter.end()


def _run_journal(
    args: RestoreOptions,
    jobs: list[Job | UrlJob],
    problems: list[Problem],
    journal: Journal,
    pool: Workers,
    reporter: Reporter,
) -> None:
    """Do what the journal says is left."""
    from .batch_spec import describe_run  # imports PyTorch

    base, about = describe_run(args, pool.threads, pool.device)
    entries = list_entries(args, jobs, problems, journal.find, base)
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
    _do(args, tasks, counts[LEFT], pool, reporter, journal.record)


def _plan_journal(
    args: RestoreOptions, extras: Sequence[str]
) -> tuple[list[Job | UrlJob], list[Problem]]:
    """Plan all jobs of a journal. A film is one piece of work, so it is taken only if named."""
    if args.skip_existing:
        raise GPENError(
            "--skip-existing and --journal contradict each other: the journal knows which results "
            "are finished. Leave --skip-existing out."
        )
    planned, problems = plan_any(args, extras, overwrite=True)
    named = {Path(word) for word in args.inputs}
    left_out = [job for job in planned if job.is_film and Path(job.source) not in named]
    if left_out:
        more = f", and so are {len(left_out) - 1} more" if len(left_out) > 1 else ""
        reason = f"a film in a folder; it is left out{more}. With --journal, films must be named."
        report(str(left_out[0].source), reason)
    jobs = [job for job in planned if not job.is_film or Path(job.source) in named]
    check_video_options(args, jobs)
    if any(job.is_film for job in jobs):
        refuse_in_parts(args, "a run with --journal")
    return jobs, problems


def list_entries(
    args: RestoreOptions,
    jobs: Iterable[Job | UrlJob],
    problems: list[Problem],
    find_row: Callable[[str], Row | None],
    base: str,
) -> Iterator[Entry]:
    """Yield the results to ask for; those that may not be written become problems.

    Args:
        args: the options.
        jobs: the files.
        problems: gets the files that are refused.
        find_row: finds what a journal knows of a result.
        base: the part of the spec that all results share.
    """
    for job in jobs:
        target = make_absolute(job.target)
        try:
            spec = _hash_source(base, str(job.source), contents=args.hash_inputs)
            there = _find_length(target)
        except (OSError, GPENError) as error:
            problems.append(Problem(str(job.source), str(error)))
            continue
        if there is not None and not args.overwrite:
            reason = _refuse_replacing(find_row(target), target, there)
            if reason:
                problems.append(Problem(str(job.source), reason))
                continue
        payload = json.dumps(pack_job(job))
        yield Entry(target, str(job.source), payload, spec, there, args.overwrite)


def _hash_source(base: str, source: str, *, contents: bool) -> str:
    """Return the spec of the result of an input, by its path or URL."""
    if not urls.is_url(source):
        return hash_input(base, Path(source), os.stat(source), contents=contents)  # noqa: PTH116
    file = urls.find_file(source)
    if file is None:
        raise ImageError(f"{source} does not exist.")
    return hash_facts(base, file.size, urls.hash_contents(source) if contents else file.mark)


def _find_length(target: str) -> int | None:
    length = urls.find_length(target)
    return 0 if length is None and not urls.is_url(target) and exists(target) else length


def _refuse_replacing(row: Row | None, target: str, length: int) -> str | None:
    """Return the reason why the file at a result's path may not be replaced, if there is one."""
    if row is None or row.state == FAILED:
        return f"{target} exists, and no earlier run made it; pass --overwrite to replace it"
    if row.state == DONE and row.bytes != length:
        return (
            f"{target} has {length} bytes, and this journal made it with {row.bytes}: somebody "
            "changed it. Pass --overwrite to replace it, or move it away"
        )
    return None


def _make_task(job: Job | UrlJob, *, again: bool) -> Task:
    return Task(str(job.target), str(job.source), pack_job(job), again=again)


def _make_row_task(row: Row) -> Task:
    return Task(row.id, row.source, json.loads(row.payload), again=bool(row.again))


def _do(
    args: RestoreOptions,
    tasks: Iterable[Task],
    total: int,
    pool: Workers,
    reporter: Reporter,
    record: Callable[[Result], None] = lambda result: None,
) -> None:
    """Do tasks by workers, and report and record each result."""
    if not total:
        return
    told: set[str] = set()
    with make_bar(total) as bar:
        size = choose_chunk_size(total, pool.workers)
        for result in drive(tasks, pool, chunk_size=size, tries=args.tries):
            record(result)
            tell(reporter, result, told)
            bar.update()


def tell(reporter: Reporter, result: Result, told: set[str]) -> None:
    """Print what a worker said of a file.

    Args:
        reporter: prints it.
        result: the worker's result.
        told: the messages that are said once, as far as they were said.
    """
    for name, message in result.notices:
        if message not in told:
            report(name, message)
        if message.endswith(SAID_ONCE):
            told.add(message)
    if result.state == DONE:
        outcome = Outcome(result.text, result.faces)
        reporter.finish(result.source, result.name, outcome, result.seconds)
    else:
        reporter.fail(result.source, result.text, target=result.name, seconds=result.seconds)


def pack_options(args: RestoreOptions) -> dict[str, Any]:
    """Return the options that workers need, of which all can be pickled and stand in JSON.

    Paths become absolute, because a worker may run in another folder.
    """
    options = {name: value for name, value in vars(args).items() if name not in NOT_IN_WORKERS}
    for name in FILE_OPTIONS:
        value = options.get(name)
        if isinstance(value, str) and exists(value):
            options[name] = os.path.abspath(value)  # noqa: PTH100
    return options


class Workers(Pool, Protocol):
    """A pool that tells what its workers are; see `LocalPool`."""

    threads: int
    device: str | None

    @property
    def workers(self) -> int:
        """The number of workers."""
        ...


def make_pool(args: RestoreOptions, load: Load | None = None) -> AbstractContextManager[Workers]:
    """Make the workers that the options ask for.

    Args:
        args: the options.
        load: gets the packed options, and makes what does a task; None restores image files.
    """
    load = functools.partial(load or load_work, pack_options(args))
    if args.cluster == RAY:
        from ..batch.actors import RayPool

        return RayPool(
            load,
            workers=args.jobs,
            threads=args.threads,
            address=args.address,
            files=[value for value in map(load.args[0].get, FILE_OPTIONS) if is_file(value or "")],
            on_cpu=args.device == "cpu",
        )
    from ..batch.local import LocalPool

    return LocalPool(load, args.jobs or 1, args.threads)
