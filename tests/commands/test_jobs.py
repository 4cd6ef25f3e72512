"""Which files `gpen restore` takes, and what it calls their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpen_core.commands import jobs as planning
from gpen_core.commands.jobs import plan
from gpen_core.errors import GPENError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """photos/{a.jpg, a.png, b.GIF, notes.txt, .hidden.jpg, sub/a.jpg, sub/顔 [1].webp}."""
    for name in (
        "a.jpg",
        "a.png",
        "b.GIF",
        "notes.txt",
        ".hidden.jpg",
        "sub/a.jpg",
        "sub/顔 [1].webp",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs(*inputs: str, output: str = "out", overwrite: bool = False) -> dict[str, str]:
    jobs, problems = plan(inputs, Path(output), overwrite=overwrite)
    assert problems == []
    return {job.source.as_posix(): job.target.as_posix() for job in jobs}


def reasons(*inputs: str, output: str = "out", overwrite: bool = False) -> dict[str, str]:
    _, problems = plan(inputs, Path(output), overwrite=overwrite)
    return {Path(problem.name).as_posix(): problem.reason for problem in problems}


def test_a_file_goes_to_a_file_or_into_a_folder(tree):
    assert pairs("photos/a.jpg", output="r.png") == {"photos/a.jpg": "r.png"}
    assert pairs("photos/a.jpg", output="out") == {"photos/a.jpg": "out/a.jpg"}
    (tree / "folder.png").mkdir()
    assert pairs("photos/a.jpg", output="folder.png") == {"photos/a.jpg": "folder.png/a.jpg"}


def test_a_folder_keeps_its_structure_and_every_name_apart(tree):
    assert pairs("photos") == {
        "photos/a.jpg": "out/a.jpg",
        "photos/a.png": "out/a.png",
        "photos/b.GIF": "out/b.GIF.png",
        "photos/sub/a.jpg": "out/sub/a.jpg",
        "photos/sub/顔 [1].webp": "out/sub/顔 [1].webp",
    }


def test_several_folders_go_each_below_its_own_name(tree):
    assert pairs("photos/sub", "photos/a.png") == {
        "photos/sub/a.jpg": "out/sub/a.jpg",
        "photos/sub/顔 [1].webp": "out/sub/顔 [1].webp",
        "photos/a.png": "out/a.png",
    }


@pytest.mark.parametrize("absolute", [False, True])
def test_patterns_are_expanded_from_where_they_begin(tree, absolute):
    base = f"{tree.as_posix()}/" if absolute else ""
    assert pairs(f"{base}photos/*.jpg") == {f"{base}photos/a.jpg": "out/a.jpg"}
    assert pairs(f"{base}photos/**/*.jpg") == {
        f"{base}photos/a.jpg": "out/a.jpg",
        f"{base}photos/sub/a.jpg": "out/sub/a.jpg",
    }
    assert f"{base}photos/notes.txt" not in pairs(f"{base}photos/*")
    assert pairs(f"{base}photos/*")[f"{base}photos/sub/a.jpg"] == "out/sub/a.jpg"


def test_a_name_with_brackets_is_a_file_first(tree):
    assert list(pairs("photos/sub/顔 [1].webp")) == ["photos/sub/顔 [1].webp"]


def test_a_file_named_twice_is_restored_once(tree):
    assert len(pairs("photos/a.jpg", "photos/*.jpg", "photos/../photos/a.jpg")) == 1


def test_results_inside_the_input_folder_are_no_inputs(tree):
    (tree / "photos/out/faces").mkdir(parents=True)
    (tree / "photos/out/old.jpg").write_bytes(b"x")
    (tree / "photos/out/faces/a.jpg-1.png").write_bytes(b"x")
    assert all("/out/" not in source for source in pairs("photos", output="photos/out"))


def test_extras_have_places_of_their_own(tree):
    jobs, _ = plan(["photos"], Path("out"), overwrite=False)
    faces = {job.faces.as_posix() for job in jobs}
    assert {"out/faces/a.jpg", "out/faces/a.png", "out/faces/sub/a.jpg"} <= faces
    assert {"out/compare/a.jpg.jpg", "out/compare/a.png.jpg"} <= {
        job.compare.as_posix() for job in jobs
    }
    ((job,), _) = plan(["photos/a.jpg"], Path("there/r.png"), overwrite=False)
    assert job.faces.as_posix() == "there/faces/r.png"


def test_inputs_and_results_stay_out_of_the_folders_of_extras(tree):
    def planned(*inputs, extras):
        jobs, problems = plan(inputs, Path("out"), overwrite=True, extras=extras)
        return [job.source.as_posix() for job in jobs], {p.name: p.reason for p in problems}

    lost = Path("out/compare/a.jpg.jpg")  # an input where the comparison of a.jpg would go
    nested = Path("photos/faces/a.png-1.png")  # its result would lie among the faces
    for path in (lost, nested):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    inputs = ("photos/a.jpg", str(lost))
    assert planned(*inputs, extras=()) == (["photos/a.jpg", lost.as_posix()], {})
    with pytest.raises(GPENError, match=r"a\.jpg\.jpg is an input and lies in .*compare"):
        planned(*inputs, extras=("compare",))
    assert nested.as_posix() in planned("photos", extras=("compare",))[0]
    done, problems = planned("photos", extras=("compare", "faces"))
    assert nested.as_posix() not in done
    assert list(problems) == [str(nested)]


def test_a_pattern_does_not_take_results_for_inputs(tree):
    results = tree / "photos/restored"
    results.mkdir()
    (results / "a.jpg").write_bytes(b"x")
    asked = {"output": "photos/restored", "overwrite": True}
    assert set(pairs("photos/**/*.jpg", **asked)) == {"photos/a.jpg", "photos/sub/a.jpg"}
    assert pairs("photos/restored/*.jpg", output="photos/restored/again") == {
        "photos/restored/a.jpg": "photos/restored/again/a.jpg"
    }
    # Asked for by name they are inputs.
    assert set(reasons("photos/restored/*.jpg", **asked)) == {"photos/restored/a.jpg"}


def test_a_folder_that_may_not_be_listed_is_a_problem(tree, monkeypatch):
    scandir = planning.os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(planning.os, "scandir", refuse)
    jobs, problems = plan(["photos"], Path("out"), overwrite=False)
    assert {job.source.name for job in jobs} == {"a.jpg", "a.png", "b.GIF"}
    assert [(Path(p.name).name, p.reason) for p in problems] == [
        ("sub", "Permission denied, skipped")
    ]
    jobs, problems = plan(["photos/sub"], Path("out"), overwrite=False)
    assert not jobs
    assert [p.reason for p in problems] == ["Permission denied, skipped"]


def test_what_is_not_there_is_a_problem_of_its_own(tree):
    (tree / "empty").mkdir()
    jobs, problems = plan(
        ["no.jpg", "photos/a.jpg", "*.bmp", "empty"], Path("out"), overwrite=False
    )
    assert [job.source.name for job in jobs] == ["a.jpg"]
    assert [(problem.name, problem.reason.split(" (")[0]) for problem in problems] == [
        ("no.jpg", "does not exist, or may not be read"),
        ("*.bmp", "no image matches"),
        ("empty", "the folder holds no image"),
    ]


def test_a_link_is_restored_under_its_own_name_and_linked_folders_are_searched(tree):
    (tree / "photos/best.jpg").symlink_to(tree / "photos/sub/a.jpg")
    (tree / "other").mkdir()
    (tree / "other/o.jpg").write_bytes(b"x")
    (tree / "other/back").symlink_to(tree / "photos")  # without end
    (tree / "photos/linked").symlink_to(tree / "other")
    found = pairs("photos")
    assert {target.removeprefix("out/") for target in found.values()} == {
        "a.jpg", "a.png", "b.GIF.png", "best.jpg", "linked/o.jpg", "sub/a.jpg", "sub/顔 [1].webp",
    }  # fmt: skip
    assert "which is an input" in reasons("photos", output="photos", overwrite=True)["photos/a.jpg"]
    found = reasons("photos/best.jpg", output="photos/sub/a.jpg", overwrite=True)
    assert "which is an input" in found["photos/best.jpg"]


def test_a_pattern_below_a_folder_whose_name_holds_brackets(tree):
    (tree / "2019 [a]").mkdir()
    (tree / "2019 [a]/x.jpg").write_bytes(b"x")
    assert pairs("2019 [a]/*.jpg") == {"2019 [a]/x.jpg": "out/x.jpg"}


def test_names_that_are_too_long_are_problems_of_their_own(tree):
    word = "x" * 300 + ".jpg"
    (tree / "out").mkdir()
    long = "y" * 250 + ".gif"  # whose result has four letters more
    (tree / "photos" / long).write_bytes(b"x")
    jobs, problems = plan(["photos", word], Path("out"), overwrite=False)
    assert [problem.name for problem in problems] == [word]
    assert len(jobs) == 6  # writing that one will fail by name


def test_inputs_are_numbered_whether_or_not_they_are_done(tree):
    (tree / "out").mkdir()
    (tree / "out/a.png").write_bytes(b"x")
    jobs, _ = plan(["photos"], Path("out"), overwrite=False)
    assert {job.source.name: job.number for job in jobs if job.source.parent.name == "photos"} == {
        "a.jpg": 0, "b.GIF": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("output", "words"), [("r.gif", "is not written"), ("plain", "a file")])
def test_an_output_that_cannot_be_is_refused_at_once(tree, output, words):
    (tree / "plain").write_bytes(b"x")
    with pytest.raises(GPENError, match=words):
        plan(["photos/a.jpg"], Path(output), overwrite=True)


def test_an_existing_result_is_kept_unless_told_otherwise(tree):
    (tree / "out").mkdir()
    (tree / "out/a.jpg").write_bytes(b"x")
    assert "pass --overwrite" in reasons("photos")["photos/a.jpg"]
    assert len(plan(["photos"], Path("out"), overwrite=False)[0]) == 4
    assert pairs("photos", overwrite=True)["photos/a.jpg"] == "out/a.jpg"


@pytest.mark.parametrize("output", ["photos", "photos/../photos", "photos/a.jpg"])
def test_an_input_is_never_replaced(tree, output):
    source = "photos/a.jpg"
    assert "which is an input" in reasons(source, output=output, overwrite=True)[source]


def test_an_input_is_not_replaced_by_the_result_of_another(tree):
    found = reasons("photos/sub/a.jpg", "photos/a.jpg", output="photos", overwrite=True)
    assert set(found) == {"photos/sub/a.jpg", "photos/a.jpg"}


def test_a_link_to_the_input_is_the_input(tree):
    try:
        Path("link.jpg").symlink_to("photos/a.jpg")
    except OSError:
        pytest.skip("this file system has no links")
    assert (
        "which is an input"
        in reasons("photos/a.jpg", output="link.jpg", overwrite=True)["photos/a.jpg"]
    )


def test_results_of_one_name_are_refused_after_the_first(tree):
    assert reasons("photos/a.jpg", "photos/sub/a.jpg") == {
        "photos/sub/a.jpg": "the result would replace that of photos/a.jpg; "
        "restore them into two folders"
    }


def test_names_that_differ_in_case_are_one_where_the_system_takes_them_so(tree, monkeypatch):
    (tree / "photos/sub/A.JPG").write_bytes(b"x")
    monkeypatch.setattr(planning.sys, "platform", "darwin")
    assert "photos/sub/A.JPG" in reasons("photos/a.jpg", "photos/sub/A.JPG")
    monkeypatch.setattr(planning.sys, "platform", "linux")
    assert len(pairs("photos/a.jpg", "photos/sub/A.JPG")) == 2


def test_one_output_file_takes_one_input_file(tree):
    for inputs in (["photos"], ["photos/a.jpg", "photos/a.png"], ["photos/*.jpg"], ["no.jpg"]):
        with pytest.raises(GPENError, match=r"r\.png names an image file.*Name a folder"):
            plan(inputs, Path("r.png"), overwrite=False)
