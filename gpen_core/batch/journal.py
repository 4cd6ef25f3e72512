"""A journal of results in an SQLite file: what is done, what failed, and what is left."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import GPENError
from ..files import hold_alone
from .places import is_on_network
from .work import DONE, FAILED, LEFT, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FLUSH_EVERY = 50
"""Results that are written in one transaction."""
FLUSH_AFTER = 30.0
"""Seconds after which fewer are written, so that a slow run loses little when it is killed."""
PAGE = 500
"""Rows that are read at a time."""
VERSION = 1
"""Of the tables; stored as SQLite's `user_version`."""

_TABLES = """
CREATE TABLE results(
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,  -- the path of the result
    source TEXT NOT NULL,
    payload TEXT NOT NULL,
    spec TEXT NOT NULL,
    run INTEGER NOT NULL,  -- the last run that asked for it
    again INTEGER NOT NULL,  -- what stands at its path may be replaced: we made it
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    worker TEXT, seconds REAL, bytes INTEGER, faces INTEGER, error TEXT, ended REAL
);
CREATE TABLE runs(run INTEGER PRIMARY KEY, begun REAL NOT NULL, ended REAL, about TEXT NOT NULL);
"""
_ADD = """
INSERT INTO results(id, source, payload, spec, again, run, state)
VALUES(:id, :source, :payload, :spec, :again, :run, 'left')
ON CONFLICT(id) DO UPDATE SET
    again = 1,
    state = CASE
        WHEN spec <> excluded.spec THEN 'left'
        WHEN state = 'done' AND bytes IS NOT :there THEN 'left'
        WHEN state = 'failed' AND :retry THEN 'left'
        ELSE state END,
    tries = CASE WHEN spec <> excluded.spec OR :retry THEN 0 ELSE tries END,
    source = excluded.source, payload = excluded.payload, spec = excluded.spec, run = excluded.run
"""
_RECORD = """
UPDATE results SET state = :state, tries = tries + :tries, worker = :worker, seconds = :seconds,
    bytes = :bytes, faces = :faces, error = :error, ended = :ended
WHERE id = :name
"""


class Entry(NamedTuple):
    """A result that a run asks for.

    Attributes:
        id: the path of the result.
        source: the input.
        payload: what a worker must know, as text.
        spec: the hash of all that the result depends on; see `spec.hash_spec`.
        there: the length of the file that stands at the path now; None if there is none.
        again: files at the path, and pictures beside it, may be replaced.
    """

    id: str
    source: str
    payload: str
    spec: str
    there: int | None
    again: bool = False


class Row(NamedTuple):
    """A row of the journal."""

    id: str
    source: str
    payload: str
    spec: str
    again: bool
    state: str
    tries: int
    worker: str | None
    seconds: float | None
    bytes: int | None
    faces: int | None
    error: str | None
    ended: float | None


_COLUMNS = ", ".join(Row._fields)


class Journal:
    """The journal of one or more runs. One process writes it; any number may read it.

    Results are written 50 at a time, or after 30 seconds: those that a killed run had not written
    are made again.

    Args:
        path: the file; it is made if it is missing.
        on_notice: called with what the user should know.

    Raises:
        GPENError: the file is no journal of ours, another run uses it, or it cannot be written.
    """

    def __init__(self, path: Path, on_notice: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._waiting: list[dict[str, object]] = []
        self._flushed = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = hold_alone(path.with_name(f"{path.name}.lock"))
        if self._lock is None:
            raise GPENError(
                f"{path} is in use by another run. Wait until it ends, or name another journal."
            )
        try:
            self.db = self._open(on_notice or (lambda message: None))
        except BaseException:
            self._lock.close()
            raise
        self.run = 0

    def _open(self, on_notice: Callable[[str], None]) -> sqlite3.Connection:
        with _explain(self.path):
            # Transactions are begun and ended by hand, to have few of them.
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            check_version(db, self.path)
            mode = "DELETE" if is_on_network(self.path) else "WAL"
            got = db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]
            if got != "wal":
                on_notice(
                    f"{self.path} lies on a network drive, where SQLite's write-ahead log does not "
                    "work: it is written with a rollback journal, which is slower. A local path is "
                    "better."
                )
            db.execute("PRAGMA synchronous=NORMAL")
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")
        return db

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, id: str) -> Row | None:
        """Return the row of a result."""
        cursor = self.db.execute(f"SELECT {_COLUMNS} FROM results WHERE id = ?", (id,))
        row = cursor.fetchone()
        return None if row is None else Row(*row)

    def begin(self, entries: Iterable[Entry], about: str, *, retry_failed: bool = False) -> None:
        """Begin a run that asks for these results, in one transaction.

        A result is left to do if it is new, if its spec changed, if its file is missing or was
        changed by somebody, or if it failed and is to be tried again.

        Args:
            entries: the results.
            about: the options of the run, for people.
            retry_failed: do again what failed.
        """
        with _explain(self.path), self._transaction():
            cursor = self.db.execute(
                "INSERT INTO runs(begun, about) VALUES(?, ?)", (time.time(), about)
            )
            self.run = cursor.lastrowid or 0
            fixed = {"run": self.run, "retry": retry_failed}
            self.db.executemany(_ADD, ({**entry._asdict(), **fixed} for entry in entries))

    def read(self, state: str) -> Iterator[Row]:
        """Yield the rows of this run in that state, a page at a time; rows may change meanwhile."""
        last = 0
        while True:
            page = self.db.execute(
                f"SELECT number, {_COLUMNS} FROM results WHERE run = ? AND state = ? "
                "AND number > ? ORDER BY number LIMIT ?",
                (self.run, state, last, PAGE),
            ).fetchall()
            for number, *row in page:
                last = number
                yield Row(*row)
            if len(page) < PAGE:
                return

    def count(self) -> dict[str, int]:
        """Return the numbers of results of this run by their state."""
        rows = self.db.execute(
            "SELECT state, count(*) FROM results WHERE run = ? GROUP BY state", (self.run,)
        )
        return {DONE: 0, FAILED: 0, LEFT: 0, **dict(rows)}

    def record(self, result: Result) -> None:
        """Note a result. It is written with others."""
        row = result._asdict()
        row["error"] = result.text if result.state == FAILED else None
        row["ended"] = time.time()
        del row["notices"], row["text"], row["source"]
        self._waiting.append(row)
        late = time.monotonic() - self._flushed > FLUSH_AFTER
        if len(self._waiting) >= FLUSH_EVERY or late:
            self.flush()

    def flush(self) -> None:
        """Write the results noted so far.

        Raises:
            GPENError: the disk is full, say. They are kept, and written by the next call.
        """
        if self._waiting:
            with _explain(self.path), self._transaction():
                self.db.executemany(_RECORD, self._waiting)
            self._waiting.clear()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is noted, note the end of the run, and close the file."""
        try:
            with _explain(self.path):
                self.flush()
                if self.run:
                    self.db.execute(
                        "UPDATE runs SET ended = ? WHERE run = ?", (time.time(), self.run)
                    )
        finally:
            self.db.close()
            if self._lock is not None:
                self._lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.db.in_transaction:  # a full disk has ended it
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")


def check_version(db: sqlite3.Connection, path: Path) -> None:
    """Raise GPENError for a file that is no journal of this version; an empty one is allowed."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    ours = {"results", "runs"}
    if (version, tables) == (0, set()) or (version == VERSION and ours <= tables):
        return
    raise GPENError(
        f"{path} is no journal of this version of gpen: expected version {VERSION} and the tables "
        f"results and runs, found version {version} and {', '.join(sorted(tables)) or 'none'}. "
        "Name another file."
    )


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise GPENError(
            f"The journal {path} cannot be used: {error}. Finished files are kept; mend this, and "
            "the same command goes on."
        ) from error
