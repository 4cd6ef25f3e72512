"""The losses of a run as a table, so that its course can be looked at and drawn."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING

from ..files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LOG_NAME = "losses.tsv"


class LossLog:
    """Appends the means of every loss over some steps to a table of tab-separated values.

    Args:
        path: the table; made when the first line is written.
        names: its columns after `step`.
        every: steps per line.
        step: steps done; later lines, of work that an interruption undid, are removed.
    """

    def __init__(self, path: Path, names: list[str], *, every: int, step: int) -> None:
        self.path, self.columns, self.every = path, ["step", *names], every
        self.values = defaultdict[str, list[float]](list)
        if path.exists():
            with path.open(encoding="utf-8", newline="") as table:
                rows = [r for r in csv.DictReader(table, delimiter="\t") if int(r["step"]) <= step]
            with replacing(path, overwrite=True) as scratch:
                self._write(scratch, rows)

    def add(self, step: int, losses: Mapping[str, float]) -> dict[str, float] | None:
        """Take the losses of `step`; return the means when they were written."""
        for name, value in losses.items():
            self.values[name].append(value)
        if step % self.every:
            return None
        means = {name: sum(values) / len(values) for name, values in self.values.items()}
        self.values.clear()
        self._write(self.path, [{"step": step} | {k: f"{v:.6g}" for k, v in means.items()}])
        return means

    def _write(self, path: Path, rows: Iterable[Mapping[str, object]]) -> None:
        fresh = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, self.columns, delimiter="\t", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
