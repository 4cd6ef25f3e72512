"""A table of tab-separated values that grows as training goes on."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from ..files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class Table:
    """Appends lines to a file; the first column is the number of steps done.

    Args:
        path: the file; made, with a line of the columns' names, by the first `append`.
        columns: after `step`.
        step: steps done. Later lines, of work that an interruption undid, and damaged ones are
            removed.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, step: int) -> None:
        self.path, self.columns = path, ["step", *columns]
        if path.exists():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                lines = (line.replace("\0", "") for line in file)  # a power cut leaves zeros
                rows = [
                    {name: row.get(name) or "" for name in self.columns}
                    for row in csv.DictReader(lines, delimiter="\t")
                ]
            rows = [r for r in rows if r["step"].isdecimal() and int(r["step"]) <= step]
            with replacing(path, overwrite=True) as scratch:
                self._write(scratch, rows)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write one line; a column without a value stays empty."""
        figures = {name: f"{value:.6g}" for name, value in values.items()}
        self._write(self.path, [{"step": step} | figures])

    def _write(self, path: Path, rows: Iterable[Mapping[str, object]]) -> None:
        fresh = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns, delimiter="\t", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
