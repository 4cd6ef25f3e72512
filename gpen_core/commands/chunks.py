"""`gpen chunk`, `run-chunk` and `join`: an archive in chunks, for any scheduler."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..batch.spec import hash_input
from ..errors import GPENError
from ..printable import printable_lines
from . import FAILED
from .arguments import count, explain, local_path, positive
from .inputs import Problem
from .jobs import Job
from .running import ADVICE, Reporter, make_bar, report, show_progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..batch.journal import Entry
    from ..batch.plans import Plan
    from .restore_options import RestoreOptions

    class PlanOptions(RestoreOptions, Protocol):
        """The options of `gpen chunk`."""

        plan: Path
        files: int
        segments: int


FILES = 100
"""Files in a chunk."""
SEGMENTS = 10
"""Segments of a film in a chunk, of some 4 s each."""


def add_chunk_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen chunk`."""
    from .restore import add_arguments

    add_arguments(parser)
    plan = parser.add_argument_group("plan")
    plan.add_argument(
        "--plan", metavar="DIR", type=local_path, required=True,
        help="the folder of the plan, where all machines see it",
    )  # fmt: skip
    plan.add_argument(
        "--files", metavar="N", type=positive, default=FILES,
        help=f"files in a chunk (default: {FILES})",
    )  # fmt: skip
    plan.add_argument(
        "--segments", metavar="N", type=positive, default=SEGMENTS,
        help=f"segments of a film, of about 4 s each, in a chunk (default: {SEGMENTS})",
    )  # fmt: skip


def chunk(args: PlanOptions) -> int:
    """Write the chunks of a plan; return the exit code."""
    from ..batch.local import share_cores
    from ..batch.plans import split_chunks, write_plan
    from .batch import list_entries, pack_options
    from .batch_spec import describe_run  # imports PyTorch
    from .restore import check_options
    from .url_jobs import plan_any
    from .video_options import check_video_options, refuse_in_parts

    _refuse_unused(args)
    extras = check_options(args)
    reporter = Reporter(as_json=False)
    jobs, problems = plan_any(args, extras, overwrite=True)
    check_video_options(args, jobs)
    films = [job for job in jobs if isinstance(job, Job) and job.is_film]
    if films:
        refuse_in_parts(args, "`gpen chunk`")
    base, about = describe_run(args, args.threads or share_cores(1))
    images = [job for job in jobs if not job.is_film]
    entries = list_entries(args, images, problems, lambda target: None, base)
    wholes: list[dict[str, Any]] = []
    chunks = itertools.chain(
        split_chunks(entries, args.files), _chunk_films(args, films, problems, wholes, base)
    )
    plan = write_plan(args.plan, chunks, pack_options(args), about, tries=args.tries, wholes=wholes)
    reporter.begin(problems)
    _print_plan(args, plan, sum(film["segments"] for film in wholes))
    return reporter.end()


def _print_plan(args: PlanOptions, plan: Plan, segments: int) -> None:
    counts = {"chunks": plan.chunks, "files": plan.tasks - segments}
    if args.json:
        print(json.dumps(counts | ({"segments": segments} if segments else {})))
        return
    words = [f"{counts['files']} files"] if counts["files"] else []
    if segments:
        words.append(f"{segments} segments of films")
    if plan.chunks:
        print(
            printable_lines(
                f"{' and '.join(words)} in {plan.chunks} chunks. Run `gpen run-chunk {args.plan} "
                f"--index N` for N from 0 to {plan.chunks - 1}, in any order and on any machine, "
                f"then `gpen join {args.plan}`."
            )
        )


def _chunk_films(
    args: PlanOptions,
    jobs: Sequence[Job],
    problems: list[Problem],
    wholes: list[dict[str, Any]],
    base: str,
) -> Iterator[list[Entry]]:
    """Find the faces of each film, and yield chunks of its segments.

    Args:
        args: the options.
        jobs: the films.
        problems: gets the films that cannot be restored.
        wholes: gets for each film what `join` must know.
        base: the part of the spec that all results share.
    """
    if not jobs:
        return
    from ..batch.plans import split_chunks
    from .film_segments import find_parts, list_entries
    from .restorer import Restorer

    restorer = Restorer.load(args, report)
    for job in jobs:
        try:
            with make_bar(1) as bar:
                folder = args.plan / "films" / f"{job.number:06}"
                parts, segments = find_parts(job, restorer, folder, show_progress(job, bar, 0))
            segments.state.release()  # others render them
            spec = hash_input(base, job.source, job.source.stat(), contents=args.hash_inputs)
        except Exception as error:
            reason = explain(error, out_of_memory=ADVICE)
            if reason is None:
                raise
            problems.append(Problem(str(job.source), reason))
            continue
        wholes.append({"parts": parts, "segments": len(segments.spans)})
        yield from split_chunks(list_entries(parts, segments, spec), args.segments)


def _refuse_unused(args: RestoreOptions) -> None:
    given = [
        name for name in ("journal", "jobs", "cluster", "skip_existing") if getattr(args, name)
    ]
    if given:
        name = "engine ray" if given[0] == "cluster" else given[0].replace("_", "-")
        raise GPENError(
            f"--{name} has no effect in `gpen chunk`: the scheduler runs the "
            "chunks, and `gpen join` writes the journal. Leave it out."
        )


def add_run_chunk_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen run-chunk`."""
    parser.add_argument("plan", metavar="DIR", type=Path, help="the folder of the plan")
    parser.add_argument(
        "--index", metavar="N", type=count, required=True, help="the number of the chunk, from 0"
    )
    parser.add_argument("--retry-failed", action="store_true", help="do again what failed")
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each file, and one of counts"
    )


def run_chunk(args: argparse.Namespace) -> int:
    """Do a chunk; return the exit code."""
    import functools

    from ..batch import plans
    from ..batch.local import limit_threads
    from .batch import tell
    from .batch_work import is_segment, load_segments, load_work

    plan = plans.read_plan(args.plan)
    if plan.options.get("threads"):
        limit_threads(plan.options["threads"])
    reporter = Reporter(as_json=args.json)
    told: set[str] = set()
    films = any(
        is_segment(json.loads(entry.payload)) for entry in plans.read_chunk(plan, args.index)[:1]
    )
    load = functools.partial(load_segments if films else load_work, plan.options)
    for result in plans.run_chunk(plan, args.index, load, retry_failed=args.retry_failed):
        tell(reporter, result, told)
    return reporter.end()


def add_join_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen join`."""
    parser.add_argument("plan", metavar="DIR", type=Path, help="the folder of the plan")


def join(args: argparse.Namespace) -> int:
    """Collect what came of a plan's chunks in a journal; return the exit code."""
    from ..batch import plans

    plan = plans.read_plan(args.plan)
    joined = plans.join(plan, lambda result: report(result.source, result.text))
    for index, left in joined.left.items():
        report(f"chunk {index}", f"{left} left: gpen run-chunk {args.plan} --index {index}")
    counts = joined.counts
    reporter = Reporter(as_json=False)
    if plan.wholes:
        _join_films(plan, reporter)
    text = f"{counts['done']} done, {counts['failed']} failed, {counts['left']} left"
    print(printable_lines(f"{text}; see `gpen status {args.plan / plans.JOURNAL}`."))
    sys.stdout.flush()
    return FAILED if counts["failed"] or counts["left"] or reporter.counts["failed"] else 0


def _join_films(plan: Plan, reporter: Reporter) -> None:
    """Join the films whose segments are all there."""
    from .film_segments import FilmParts, join_parts  # imports PyTorch and PyAV

    options: Any = argparse.Namespace(**plan.options)
    for film in plan.wholes:
        parts = FilmParts(*film["parts"])
        begun = time.perf_counter()
        try:
            outcome = join_parts(parts, options, overwrite=options.overwrite)
        except (GPENError, OSError) as error:
            reporter.fail(parts.name, str(error), target=parts.target)
        else:
            seconds = time.perf_counter() - begun
            reporter.finish(parts.name, parts.target, outcome, seconds)
