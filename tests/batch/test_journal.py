"""The journal: what is left to do, how it is written, and who may use it."""

from __future__ import annotations

import sqlite3

import pytest

from gpen_core.batch import journal as module
from gpen_core.batch.journal import Entry, Journal
from gpen_core.batch.status import Reader
from gpen_core.batch.work import DONE, FAILED, LEFT, Result
from gpen_core.errors import GPENError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


def entries(count=3, *, spec="s", there=None):
    return [Entry(f"out/{i}.png", f"{i}.jpg", "[]", spec, there) for i in range(count)]


def result(number, state=DONE, **values):
    return Result(f"out/{number}.png", f"{number}.jpg", state, "how it went", **values)


def left(journal):
    return [row.source for row in journal.read(LEFT)]


def test_a_run_goes_on_where_the_last_one_stopped(path):
    with Journal(path) as journal:
        journal.begin(entries(), "options")
        assert left(journal) == ["0.jpg", "1.jpg", "2.jpg"]
        journal.record(result(1, bytes=7, faces=2, seconds=1.5, worker="a"))
        journal.record(result(2, FAILED))
    with Journal(path) as journal:
        journal.begin([*entries(1), *entries(4, there=7)[1:]], "options")
        assert left(journal) == ["0.jpg", "3.jpg"]
        assert journal.count() == {DONE: 1, FAILED: 1, LEFT: 2}
        row = journal.find("out/1.png")
        assert (row.bytes, row.faces, row.seconds, row.worker, row.tries) == (7, 2, 1.5, "a", 1)
        assert row.error is None
        assert [row.error for row in journal.read(FAILED)] == ["how it went"]


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ({"there": 7}, ["2.jpg"]),
        ({"there": None}, ["0.jpg", "2.jpg"]),  # the result was deleted
        ({"there": 6}, ["0.jpg", "2.jpg"]),  # or changed
        ({"there": 7, "spec": "other"}, ["0.jpg", "1.jpg", "2.jpg"]),
    ],
)
def test_a_finished_result_is_made_again_only_if_it_or_its_spec_changed(path, again, expected):
    with Journal(path) as journal:
        journal.begin(entries(), "options")
        journal.record(result(0, bytes=7))
        journal.record(result(1, FAILED))
    with Journal(path) as journal:
        journal.begin(entries(**again), "options")
        assert left(journal) == expected


def test_what_failed_is_tried_again_when_asked_and_its_tries_begin_anew(path):
    for retry, expected in ((False, []), (True, ["0.jpg"])):
        with Journal(path) as journal:
            journal.begin(entries(1), "options", retry_failed=retry)
            if not journal.count()[FAILED] and not retry:
                journal.record(result(0, FAILED, tries=3))
                journal.flush()
            assert left(journal) == expected
    with Journal(path) as journal:
        assert journal.find("out/0.png").tries == 0


def test_a_killed_run_loses_only_what_was_not_written(path):
    first = Journal(path)
    first.begin(entries(120), "options")
    for number in range(120):
        first.record(result(number, bytes=1))
    first._lock.close()  # as the system does when the process is killed
    with Journal(path) as journal:
        journal.begin(entries(120, there=1), "options")
        assert journal.count() == {DONE: 100, FAILED: 0, LEFT: 20}
    first.db.close()


def test_a_transaction_holds_fifty_results_and_a_result_costs_two_statements(path, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 100)
    with Journal(path) as journal:
        said = []
        journal.db.set_trace_callback(lambda text: said.append(" ".join(text.split()[:2])))
        journal.begin(entries(1000), "options")
        for number, _ in enumerate(journal.read(LEFT)):
            journal.record(result(number, bytes=1))
        journal.flush()
        journal.db.set_trace_callback(None)
    assert said.count("COMMIT") == said.count("BEGIN IMMEDIATE") == 1 + 1000 / 50
    assert said.count("INSERT INTO") == 1000 + 1  # the run
    assert said.count("UPDATE results") == 1000
    assert len(said) == 2001 + 2 * 21 + 11  # and the pages that were read


def test_a_slow_run_is_written_from_time_to_time(path, monkeypatch):
    with Journal(path) as journal:
        journal.begin(entries(2), "options")
        journal.record(result(0, bytes=1))
        assert journal.find("out/0.png").state == LEFT
        monkeypatch.setattr(module, "FLUSH_AFTER", -1)
        journal.record(result(1, bytes=1))
        assert journal.find("out/0.png").state == DONE


def test_only_one_run_uses_a_journal_at_a_time_and_anyone_reads_it(path):
    with Journal(path) as journal:
        with pytest.raises(GPENError, match="in use by another run"):
            Journal(path)
        journal.begin(entries(4), "options")
        journal.record(result(0, bytes=1, faces=3, seconds=2.0))
        journal.record(result(1, FAILED))
        journal.flush()
        with Reader(path) as reader:
            status = reader.measure()
            assert (status.done, status.failed, status.left) == (1, 1, 2)
            assert (status.faces, status.seconds) == (3, 2.0)
            assert status.rate > 0
            assert status.seconds_left == 2 / status.rate
            assert status.begun is not None
            assert status.ended is None
            assert [row.id for row in reader.read(DONE)] == ["out/0.png"]
            assert len(list(reader.read())) == 4
            with pytest.raises(sqlite3.OperationalError):
                reader._db.execute("DELETE FROM results")
    with Reader(path) as reader:
        assert reader.measure().ended is not None
    with Journal(path):
        pass


def test_finished_results_are_chosen_evenly(path):
    with Journal(path) as journal:
        journal.begin(entries(100), "options")
        for number in range(100):
            journal.record(result(number, DONE if number % 2 else FAILED))
    with Reader(path) as reader:
        assert [row.source for row in reader.choose(5)] == [
            "1.jpg", "21.jpg", "41.jpg", "61.jpg", "81.jpg",
        ]  # fmt: skip
        assert len(reader.choose(1000)) == 50


def test_a_file_that_is_no_journal_is_refused_and_kept(path):
    path.write_bytes(b"my thesis" * 100)
    for make in (Journal, Reader):
        with pytest.raises(GPENError, match=r"journal"):
            make(path)
    assert path.read_bytes() == b"my thesis" * 100
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE addresses(name)")
    db.close()
    for make in (Journal, Reader):
        with pytest.raises(GPENError, match="found version 0 and addresses"):
            make(path)
    with pytest.raises(GPENError, match="does not exist"):
        Reader(path.with_name("other"))


def test_a_network_drive_gets_a_rollback_journal_and_the_user_is_told(path, monkeypatch):
    told = []
    monkeypatch.setattr(module, "is_on_network", lambda path: True)
    with Journal(path, told.append) as journal:
        assert journal.db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        journal.begin(entries(), "options")
    assert "network drive" in told[0]
    monkeypatch.undo()
    with Journal(path, told.append) as journal:
        assert journal.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(told) == 1


def test_a_full_disk_is_said_and_nothing_noted_is_lost(path):
    with Journal(path) as journal:
        journal.begin(entries(100), "options")
        pages = journal.db.execute("PRAGMA page_count").fetchone()[0]
        journal.db.execute(f"PRAGMA max_page_count={pages}")
        worker = "x" * 4000
        with pytest.raises(GPENError, match=r"cannot be used: database or disk is full"):
            for number in range(100):
                journal.record(result(number, bytes=1, worker=worker))
        assert journal.count()[DONE] == 0
        journal.db.execute(f"PRAGMA max_page_count={pages + 1000}")
        journal.flush()
        assert journal.count()[DONE] == 50
