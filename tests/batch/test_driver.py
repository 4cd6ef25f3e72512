"""Chunks and their results, with a pool that has no processes."""

from __future__ import annotations

from collections import deque

import pytest

from gpen_core.batch.driver import Completed, Finished, Lost, drive
from gpen_core.batch.work import DONE, FAILED, Result, Task, choose_chunk_size


class Pool:
    """Does chunks at once; a task whose payload is "kill" loses the chunk from there on."""

    def __init__(self, room=2, *, blame=True):
        self.room, self.blame, self.events, self.chunks = room, blame, deque(), []

    def has_room(self):
        return len(self.events) < self.room

    def submit(self, chunk):
        self.chunks.append([task.name for task in chunk.tasks])
        events = []
        for task in chunk.tasks:
            if task.payload == "kill":
                self.events.append([*events, Lost(chunk.number, "died", blame=self.blame)])
                return
            result = Result(task.name, task.source, DONE, "again" if task.again else "first")
            events.append(Finished(chunk.number, result))
        self.events.append([*events, Completed(chunk.number)])

    def wait(self, timeout):
        return self.events.popleft()


def tasks(*payloads):
    return [Task(str(number), f"{number}.jpg", word) for number, word in enumerate(payloads)]


def test_each_task_has_one_result_and_a_chunk_so_many_tasks():
    pool = Pool()
    results = list(drive(tasks(*"abcdefg"), pool, chunk_size=3))
    assert [result.name for result in results] == list("0123456")
    assert pool.chunks == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert {result.tries for result in results} == {1}


def test_a_lost_chunk_is_done_again_one_by_one_and_its_killer_is_named():
    pool = Pool()
    results = {r.name: r for r in drive(tasks("a", "b", "kill", "c", "d"), pool, chunk_size=5)}
    assert sorted(results) == list("01234")
    assert [results[name].text for name in "0134"] == ["first", "first", "again", "again"]
    assert pool.chunks == [list("01234"), ["2"], ["3"], ["4"], ["2"], ["2"]]
    assert results["2"].state == FAILED
    assert results["2"].tries == 3
    assert results["2"].source == "2.jpg"
    assert "died each of the 3 times" in results["2"].text


def test_a_worker_that_had_not_begun_is_nobodys_fault():
    pool = Pool(room=1, blame=False)
    submit = pool.submit

    def heal(chunk):
        healed = chunk._replace(tasks=tuple(task._replace(payload="a") for task in chunk.tasks))
        submit(healed if len(pool.chunks) == 5 else chunk)

    pool.submit = heal
    (result,) = drive(tasks("kill"), pool, tries=2)
    assert result.state == DONE
    assert len(pool.chunks) == 6


def test_tasks_are_read_only_as_fast_as_they_are_done():
    read = []

    def source():
        for task in tasks(*"abcdefghij"):
            read.append(task.name)
            yield task

    results = drive(source(), Pool(room=2), chunk_size=2)
    next(results)
    assert len(read) == 4


def test_no_tasks_need_no_worker():
    assert list(drive([], Pool())) == []


@pytest.mark.parametrize(
    ("count", "workers", "size"), [(0, 2, 1), (10, 2, 1), (64, 2, 4), (10**6, 4, 16)]
)
def test_chunks_are_small_enough_to_end_together(count, workers, size):
    assert choose_chunk_size(count, workers) == size
