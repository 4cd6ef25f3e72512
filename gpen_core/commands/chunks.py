"""`gpen chunk`, `run-chunk` and `join`: an archive in chunks, for any scheduler."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..printable import printable_lines
from . import FAILED
from .arguments import count, positive
from .running import Reporter, report

if TYPE_CHECKING:
    import argparse

    from .restore_options import RestoreOptions

    class PlanOptions(RestoreOptions, Protocol):
        """The options of `gpen chunk`."""

        plan: Path
        files: int


FILES = 100
"""Files in a chunk."""


def add_chunk_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen chunk`."""
    from .restore import add_arguments

    add_arguments(parser)
    plan = parser.add_argument_group("plan")
    plan.add_argument(
        "--plan", metavar="DIR", type=Path, required=True,
        help="the folder of the plan, where all machines see it",
    )  # fmt: skip
    plan.add_argument(
        "--files", metavar="N", type=positive, default=FILES,
        help=f"files in a chunk (default: {FILES})",
    )  # fmt: skip


def chunk(args: PlanOptions) -> int:
    """Write the chunks of a plan; return the exit code."""
    from ..batch.local import share_cores
    from ..batch.plans import write_plan
    from .batch import list_entries, pack_options
    from .batch_spec import describe_run  # imports PyTorch
    from .jobs import plan_jobs
    from .restore import check_options

    _refuse_unused(args)
    extras = check_options(args)
    reporter = Reporter(as_json=False)
    jobs, problems = plan_jobs(
        args.inputs, args.output.absolute(), overwrite=True, extras=extras, suffix=args.ext
    )
    base, about = describe_run(args, args.threads or share_cores(1))
    entries = list_entries(args, jobs, problems, lambda target: None, base)
    plan = write_plan(
        args.plan, entries, pack_options(args), about, chunk_size=args.files, tries=args.tries
    )
    reporter.begin(problems)
    if args.json:
        print(json.dumps({"chunks": plan.chunks, "files": plan.tasks}))
    elif plan.chunks:
        print(
            printable_lines(
                f"{plan.tasks} files in {plan.chunks} chunks. Run `gpen run-chunk {args.plan} "
                f"--index N` for N from 0 to {plan.chunks - 1}, in any order and on any machine, "
                f"then `gpen join {args.plan}`."
            )
        )
    return reporter.end()


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
    from .batch_work import load_work

    plan = plans.read_plan(args.plan)
    if plan.options.get("threads"):
        limit_threads(plan.options["threads"])
    reporter = Reporter(as_json=args.json)
    told: set[str] = set()
    load = functools.partial(load_work, plan.options)
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
        report(f"chunk {index}", f"{left} files left: gpen run-chunk {args.plan} --index {index}")
    counts = joined.counts
    text = f"{counts['done']} done, {counts['failed']} failed, {counts['left']} left"
    print(printable_lines(f"{text}; see `gpen status {args.plan / plans.JOURNAL}`."))
    sys.stdout.flush()
    return FAILED if counts["failed"] or counts["left"] else 0
