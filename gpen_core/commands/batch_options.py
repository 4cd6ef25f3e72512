"""Options of `gpen restore` for many files: a journal, and workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..batch.driver import TRIES
from ..errors import GPENError
from .arguments import positive

if TYPE_CHECKING:
    import argparse


class BatchOptions(Protocol):
    """The options, as `add_batch_options` defines them."""

    journal: Path | None
    retry_failed: bool
    hash_inputs: bool
    jobs: int | None
    tries: int


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for many files."""
    many = parser.add_argument_group("many files")
    many.add_argument(
        "--journal", metavar="FILE", type=Path,
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
        "--tries", metavar="K", type=positive, default=TRIES,
        help=f"a file that ends its process K times is left out (default: {TRIES})",
    )  # fmt: skip


def check_batch_options(options: BatchOptions) -> None:
    """Raise GPENError for options of the journal without one."""
    given = [name for name in ("retry_failed", "hash_inputs") if getattr(options, name)]
    if given and options.journal is None:
        raise GPENError(f"--{given[0].replace('_', '-')} has no effect without --journal.")


def is_batch(options: BatchOptions) -> bool:
    """Tell whether the options ask for workers or a journal."""
    return options.journal is not None or options.jobs is not None
