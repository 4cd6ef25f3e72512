"""Read a journal, also while a run writes it: counts, rate, time left, rows."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import GPENError
from ..files import is_file
from .journal import Row, check_version
from .work import DONE, FAILED, LEFT

if TYPE_CHECKING:
    from collections.abc import Iterator

RECENT = 500
"""Results from whose times the rate is computed."""


class Status(NamedTuple):
    """How far a run is.

    Attributes:
        done, failed, left: numbers of results, of all runs of the journal.
        faces: the faces restored.
        seconds: the time of all workers together.
        rate: results a second lately; None where that is unknown.
        seconds_left: how long the rest takes at that rate.
        begun, ended: times of the last run, in seconds since 1970; `ended` is None while it runs,
            and after it was killed.
    """

    done: int
    failed: int
    left: int
    faces: int
    seconds: float
    rate: float | None
    seconds_left: float | None
    begun: float | None
    ended: float | None


class Reader:
    """Reads a journal. It never writes.

    Args:
        path: the journal.

    Raises:
        GPENError: there is none, or the file is something else.
    """

    def __init__(self, path: Path) -> None:
        if not is_file(path):
            raise GPENError(f"{path} does not exist, or is no file. Name the file of --journal.")
        self.path = path
        with self._explain():
            # Not read-only: reading what a killed run left in the log needs its index file.
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA query_only=1")
            check_version(self._db, path)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def measure(self) -> Status:
        """Count the results by state and compute the rate."""
        with self._explain():
            counts = dict(self._db.execute("SELECT state, count(*) FROM results GROUP BY state"))
            faces, seconds = self._db.execute(
                "SELECT coalesce(sum(faces), 0), coalesce(sum(seconds), 0) FROM results"
            ).fetchone()
            run = self._db.execute("SELECT run, begun, ended FROM runs ORDER BY run DESC LIMIT 1")
            number, begun, ended = run.fetchone() or (0, None, None)
            recent = self._db.execute(
                "SELECT ended FROM results WHERE run = ? AND ended >= ? ORDER BY ended DESC "
                f"LIMIT {RECENT}",
                (number, begun or 0),
            ).fetchall()
        left = counts.get(LEFT, 0)
        rate = _find_rate([time for (time,) in recent], begun)
        return Status(
            counts.get(DONE, 0),
            counts.get(FAILED, 0),
            left,
            faces,
            seconds,
            rate,
            left / rate if rate else None,
            begun,
            ended,
        )

    def read(self, state: str | None = None) -> Iterator[Row]:
        """Yield the rows in that state, or all rows, in the order in which they were planned."""
        columns = ", ".join(Row._fields)
        with self._explain():
            for row in self._db.execute(
                f"SELECT {columns} FROM results WHERE ?1 IS NULL OR state = ?1 ORDER BY number",
                (state,),
            ):
                yield Row(*row)

    def choose(self, most: int) -> list[Row]:
        """Return at most that many finished results, spread evenly over all."""
        with self._explain():
            numbers = self._db.execute(
                "SELECT number FROM results WHERE state = ? ORDER BY number", (DONE,)
            ).fetchall()
            count = min(most, len(numbers))
            chosen = [numbers[i * len(numbers) // count][0] for i in range(count)]
            columns = ", ".join(Row._fields)
            query = f"SELECT {columns} FROM results WHERE number = ?"
            return [Row(*self._db.execute(query, (number,)).fetchone()) for number in chosen]

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise GPENError(f"{self.path} cannot be read as a journal: {error}.") from error


def _find_rate(times: list[float], begun: float | None) -> float | None:
    """Return results a second, from the times of the last ones, the latest first."""
    if not times or begun is None:
        return None
    if len(times) < RECENT:  # all results of this run: count from its beginning
        return len(times) / max(times[0] - begun, 1e-3)
    return (len(times) - 1) / max(times[0] - times[-1], 1e-3)
