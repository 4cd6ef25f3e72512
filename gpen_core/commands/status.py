"""`gpen status`: how far the runs of a journal are."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..printable import printable, printable_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from ..batch.journal import Row
    from ..batch.status import Status

SHOWN = 20
"""Failed files that are listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen status`."""
    parser.add_argument("journal", metavar="JOURNAL", type=Path, help="the file of --journal")
    parser.add_argument(
        "--report", metavar="FILE", type=Path,
        help="also write a report: .json with every file, or .html with every failure and pictures "
        "before and after",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the numbers as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Print how far the runs of a journal are; return the exit code."""
    from ..batch.status import Reader

    with Reader(args.journal) as reader:
        status = reader.measure()
        if args.json:
            import json

            print(json.dumps(status._asdict()))
        else:
            print(printable_lines(describe(status)))
            _print_failed(args.journal, reader.read("failed"), status.failed)
        if args.report:
            from ..batch.report import write_report  # imports PyTorch

            write_report(reader, args.report)
    return 0


def _print_failed(journal: Path, rows: Iterable[Row], total: int) -> None:
    for number, row in enumerate(rows):
        if number == SHOWN:
            print(f"… and {total - SHOWN} more: gpen status {journal} --report report.html")
            return
        print(printable_lines(f"failed: {printable(row.source, 1000)}: {row.error}"))


def describe(status: Status) -> str:
    """Describe the numbers in words."""
    total = status.done + status.failed + status.left
    lines = [
        f"{status.done} done, {status.failed} failed, {status.left} left of {total}; "
        f"{status.faces} faces restored."
    ]
    if status.rate:
        lines[0] += f" {status.rate:.3g} files a second"
        if status.seconds_left:
            rest = datetime.timedelta(seconds=round(status.seconds_left))
            lines[0] += f", {rest} to go at this rate"
        lines[0] += "."
    if status.begun is not None:
        state = "ended" if status.ended else "runs, or was killed"
        begun = datetime.datetime.fromtimestamp(status.begun).astimezone()
        lines.append(f"The last run began on {begun:%Y-%m-%d %H:%M:%S}; it {state}.")
    return "\n".join(lines)
