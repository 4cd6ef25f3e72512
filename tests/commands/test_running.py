"""Lines of JSON about each file, for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpen_core.commands.inputs import Problem
from gpen_core.commands.jobs import Job
from gpen_core.commands.running import Outcome, run_jobs
from gpen_core.errors import ImageError


def work(job, on_progress):
    on_progress(1, 2)
    if job.source.name == "bad.jpg":
        raise ImageError("bad.jpg is damaged: \x1b[2J.")
    return Outcome("2 faces restored", 2)


JOBS = [
    Job(Path(name), Path("out"), Path(name), number)
    for number, name in enumerate(["顔.jpg", "bad.jpg"])
]
PROBLEMS = [
    Problem("old.jpg", "out/old.jpg exists, skipped", is_skipped=True),
    Problem("no.jpg", "lost"),
]


def test_each_file_is_a_line_of_json_and_the_counts_are_the_last(capsys):
    assert run_jobs(JOBS, PROBLEMS, lambda: work, as_json=True) == 1
    out, err = capsys.readouterr()
    *lines, counts = [json.loads(line) for line in out.splitlines()]
    assert counts == {"done": 1, "failed": 2, "skipped": 1}
    by_source = {line["source"]: line for line in lines}
    assert len(by_source) == len(lines) == 4
    done = by_source["顔.jpg"]
    assert done.pop("seconds") >= 0
    assert done == {
        "source": "顔.jpg",
        "target": str(Path("out/顔.jpg")),
        "state": "done",
        "faces": 2,
        "outcome": "2 faces restored",
        "error": None,
    }
    assert by_source["bad.jpg"]["state"] == "failed"
    assert by_source["bad.jpg"]["error"] == "bad.jpg is damaged: \x1b[2J."
    assert by_source["old.jpg"]["state"] == "skipped"
    assert by_source["no.jpg"]["error"] == "lost"
    assert "\x1b" not in out + err
    assert "gpen: 2 of 3 failed, 1 done." in err


def test_people_read_the_same_in_words(capsys):
    assert run_jobs(JOBS, PROBLEMS, lambda: work) == 1
    out, err = capsys.readouterr()
    assert (
        out == f"1 skipped: their results exist.\n顔.jpg → {Path('out/顔.jpg')}: 2 faces restored\n"
    )
    assert err.splitlines()[:2] == ["gpen: no.jpg: lost", "gpen: bad.jpg is damaged: \\x1b[2J."]


def test_a_defect_is_no_failed_file(capsys):
    def break_down(job, on_progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_jobs(JOBS, [], lambda: break_down)


def test_nothing_is_loaded_without_a_job(capsys):
    def load():
        raise AssertionError

    assert run_jobs([], [], load) == 0
