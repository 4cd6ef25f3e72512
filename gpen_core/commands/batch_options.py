"""Options of `gpen restore` for many files: a journal, and workers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Protocol

from ..batch.driver import TRIES
from ..errors import GPENError
from .arguments import local_path, positive


class BatchOptions(Protocol):
    """The options, as `add_batch_options` defines them."""

    journal: Path | None
    retry_failed: bool
    hash_inputs: bool
    jobs: int | None
    threads: int | None
    tries: int
    cluster: str | None
    address: str | None


WITHOUT_EFFECT = frozenset({
    "run", "inputs", "output", "overwrite", "skip_existing", "json", "allow_large", "no_verify",
    "journal", "retry_failed", "hash_inputs", "jobs", "threads", "tries", "cluster", "address",
    "plan", "files", "segments",
    "output_url",
})  # fmt: skip
"""Options that say where and by whom files are restored, not how."""

RAY = "ray"
"""The value of --engine that spreads files over a Ray cluster."""


class ChooseEngine(argparse.Action):
    """Takes `--engine ray` beside the engines of ONNX files: both may be given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, "cluster" if values == RAY else self.dest, values)


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for many files."""
    many = parser.add_argument_group("many files")
    many.add_argument(
        "--journal", metavar="FILE", type=local_path,
        help="note each result in this SQLite file: the same command goes on after an "
        "interruption, and `gpen status FILE` tells how far it is",
    )  # fmt: skip
    many.add_argument(
        "--retry-failed", action="store_true", help="do again what failed according to the journal"
    )
    many.add_argument(
        "--hash-inputs", action="store_true",
        help="tell inputs apart by their contents instead of their time: a copied archive is not "
        "done again",
    )  # fmt: skip
    many.add_argument(
        "--jobs", metavar="N", type=positive,
        help="restore in N processes, which share the cores out (default: in this one; with a "
        "journal, in one other)",
    )  # fmt: skip
    many.add_argument(
        "--threads", metavar="N", type=positive,
        help="threads of each process (default: the cores, shared out)",
    )  # fmt: skip
    many.add_argument(
        "--address", metavar="HOST:PORT",
        help="with --engine ray: the Ray cluster, or auto for the one that this machine belongs to "
        "(default: one that starts here and ends with the run)",
    )  # fmt: skip
    parser.set_defaults(cluster=None)
    many.add_argument(
        "--tries", metavar="K", type=positive, default=TRIES,
        help=f"a file that ends its process K times is left out (default: {TRIES})",
    )  # fmt: skip


def check_batch_options(options: BatchOptions) -> None:
    """Raise GPENError for options of the journal without one."""
    given = [name for name in ("retry_failed", "hash_inputs") if getattr(options, name)]
    if given and options.journal is None:
        raise GPENError(f"--{given[0].replace('_', '-')} has no effect without --journal.")
    if options.address is not None and options.cluster is None:
        raise GPENError("--address has no effect without --engine ray.")
    if options.threads is not None and not is_batch(options) and not hasattr(options, "plan"):
        raise GPENError("--threads has no effect without --jobs, --journal or --engine ray.")


def is_batch(options: BatchOptions) -> bool:
    """Tell whether the options ask for workers or a journal."""
    return any(value is not None for value in (options.journal, options.jobs, options.cluster))
