"""Plans: chunks on disk, done by any process, and joined."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import batch_tasks
import pytest

from gpen_core.batch import plans
from gpen_core.batch.journal import Entry
from gpen_core.batch.status import Reader
from gpen_core.batch.work import DONE, FAILED
from gpen_core.errors import GPENError


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Makes what does a task; a task of the word "kill" raises, as a killed process would end."""
    monkeypatch.setattr(batch_tasks.os, "kill", end_here)
    return functools.partial(batch_tasks.load, str(tmp_path / "seen"))


def end_here(process, signal):
    raise KeyboardInterrupt


def make_plan(folder: Path, words: list[str], **options) -> plans.Plan:
    tasks = batch_tasks.make_tasks(folder, words)
    entries = [Entry(t.name, t.source, json.dumps(t.payload), "spec", None) for t in tasks]
    size = options.pop("chunk_size", 2)
    options = {"tries": 2, **options}
    chunks = plans.split_chunks(entries, size)
    return plans.write_plan(folder / "plan", chunks, {"model": "m"}, "about", **options)


def run(plan, index, load, **options):
    return [(r.source, r.state) for r in plans.run_chunk(plan, index, load, **options)]


def join(plan):
    failed = []
    joined = plans.join(plan, lambda result: failed.append(result.source))
    return joined.counts, joined.left, failed


def test_chunks_are_done_in_any_order_and_joined(tmp_path, load):
    made = make_plan(tmp_path, ["a", "b", "bad", "c", "d"])
    assert (made.chunks, made.tasks) == (3, 5)
    plan = plans.read_plan(tmp_path / "plan")
    assert plan == made
    assert run(plan, 2, load) == [("4: d", DONE)]
    assert join(plan) == ({"done": 1, "failed": 0, "left": 4}, {0: 2, 1: 2}, [])
    assert run(plan, 0, load) == [("0: a", DONE), ("1: b", DONE)]
    assert run(plan, 1, load) == [("2: bad", FAILED), ("3: c", DONE)]
    assert join(plan) == ({"done": 4, "failed": 1, "left": 0}, {}, ["2: bad"])
    assert join(plan)[0] == {"done": 4, "failed": 1, "left": 0}
    with Reader(tmp_path / "plan" / plans.JOURNAL) as reader:
        assert reader.measure().faces == 4
        assert [row.error for row in reader.read(FAILED)] == ["is bad"]


def test_a_chunk_that_is_done_twice_is_done_once(tmp_path, load):
    plan = make_plan(tmp_path, ["a", "bad"])
    assert len(run(plan, 0, load)) == 2
    assert run(plan, 0, None) == []  # loads nothing
    assert run(plan, 0, load, retry_failed=True) == [("1: bad", FAILED)]
    (tmp_path / "0.txt").unlink()
    assert join(plan)[:2] == ({"done": 0, "failed": 1, "left": 1}, {0: 1})
    assert run(plan, 0, load) == [("0: a", DONE)]
    (tmp_path / "0.txt").write_text("longer than before")
    assert run(plan, 0, load) == [("0: a", DONE)]


def test_a_task_that_ends_its_process_each_time_is_failed_and_the_rest_is_done(tmp_path, load):
    plan = make_plan(tmp_path, ["a", "kill", "b"], chunk_size=3)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(plan, 0, load)
    assert run(plan, 0, load) == [("1: kill", FAILED), ("2: b", DONE)]
    counts, left, failed = join(plan)
    assert (counts, left) == ({"done": 2, "failed": 1, "left": 0}, {})
    assert failed == ["1: kill"]
    begun = (tmp_path / "seen").read_text().splitlines()
    assert begun == ["0: a False", "1: kill False", "1: kill True", "2: b False"]


def test_a_line_that_a_killed_process_left_is_passed_over(tmp_path, load):
    plan = make_plan(tmp_path, ["a", "b"])
    assert len(run(plan, 0, load)) == 2
    path = plan.results_path(0)
    path.write_bytes(path.read_bytes()[:-30])
    assert run(plan, 0, load) == [("1: b", DONE)]
    assert run(plan, 0, load) == []
    assert join(plan)[0]["done"] == 2


def test_a_chunk_is_in_work_by_one_process(tmp_path, load):
    plan = make_plan(tmp_path, ["a", "b"])
    first = plans.run_chunk(plan, 0, load)
    next(first)
    with pytest.raises(GPENError, match="in work by another process"):
        run(plan, 0, load)
    assert len(list(first)) == 1


def test_a_wrong_folder_or_number_is_refused(tmp_path, load):
    with pytest.raises(GPENError, match=r"holds no plan\.json"):
        plans.read_plan(tmp_path)
    plan = make_plan(tmp_path, ["a", "b", "c"])
    with pytest.raises(GPENError, match=r"has 2 chunks, numbered from 0; found --index 2"):
        run(plan, 2, load)
    with pytest.raises(GPENError, match="holds a plan already"):
        make_plan(tmp_path, ["a"])
    path = tmp_path / "plan" / "plan.json"
    text = path.read_text()
    path.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(GPENError, match="expected version 1, found 2"):
        plans.read_plan(plan.folder)
    for damage in (text[:20], text.replace('"tries"', '"trials"'), "[]"):
        path.write_text(damage)
        with pytest.raises(GPENError, match="is damaged"):
            plans.read_plan(plan.folder)
