"""The files that `gpen restore` finds, and the paths of their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpen_core.commands import jobs as module
from gpen_core.commands.jobs import plan_jobs
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
    jobs, problems = plan_jobs(inputs, Path(output), overwrite=overwrite)
    assert problems == []
    return {job.source.as_posix(): job.target.as_posix() for job in jobs}


def reasons(*inputs: str, output: str = "out", overwrite: bool = False) -> dict[str, str]:
    _, problems = plan_jobs(inputs, Path(output), overwrite=overwrite)
    return {Path(problem.name).as_posix(): problem.reason for problem in problems}


def test_a_file_goes_to_a_file_or_into_a_folder(tree):
    assert pairs("photos/a.jpg", output="r.png") == {"photos/a.jpg": "r.png"}
    assert pairs("photos/a.jpg", output="out") == {"photos/a.jpg": "out/a.jpg"}
    (tree / "folder.png").mkdir()
    assert pairs("photos/a.jpg", output="folder.png") == {"photos/a.jpg": "folder.png/a.jpg"}


def test_a_folder_keeps_its_structure_and_names_stay_different(tree):
    assert pairs("photos") == {
        "photos/a.jpg": "out/a.jpg",
        "photos/a.png": "out/a.png",
        "photos/b.GIF": "out/b.GIF.png",
        "photos/sub/a.jpg": "out/sub/a.jpg",
        "photos/sub/顔 [1].webp": "out/sub/顔 [1].webp",
    }


def test_files_of_several_folders_go_below_the_folder_names(tree):
    assert pairs("photos/sub", "photos/a.png") == {
        "photos/sub/a.jpg": "out/sub/a.jpg",
        "photos/sub/顔 [1].webp": "out/sub/顔 [1].webp",
        "photos/a.png": "out/a.png",
    }


@pytest.mark.parametrize("absolute", [False, True])
def test_results_of_a_pattern_keep_their_place_below_its_base(tree, absolute):
    base = f"{tree.as_posix()}/" if absolute else ""
    assert pairs(f"{base}photos/*.jpg") == {f"{base}photos/a.jpg": "out/a.jpg"}
    assert pairs(f"{base}photos/**/*.jpg") == {
        f"{base}photos/a.jpg": "out/a.jpg",
        f"{base}photos/sub/a.jpg": "out/sub/a.jpg",
    }
    assert f"{base}photos/notes.txt" not in pairs(f"{base}photos/*")
    assert pairs(f"{base}photos/*")[f"{base}photos/sub/a.jpg"] == "out/sub/a.jpg"


def test_a_file_whose_name_has_brackets_is_no_pattern(tree):
    assert list(pairs("photos/sub/顔 [1].webp")) == ["photos/sub/顔 [1].webp"]


def test_a_file_named_twice_is_restored_once(tree):
    assert len(pairs("photos/a.jpg", "photos/*.jpg", "photos/../photos/a.jpg")) == 1


def test_results_inside_the_input_folder_are_not_inputs(tree):
    (tree / "photos/out/faces").mkdir(parents=True)
    (tree / "photos/out/old.jpg").write_bytes(b"x")
    (tree / "photos/out/faces/a.jpg-1.png").write_bytes(b"x")
    assert all("/out/" not in source for source in pairs("photos", output="photos/out"))


def test_faces_and_comparisons_go_into_their_folders(tree):
    jobs, _ = plan_jobs(["photos"], Path("out"), overwrite=False)
    crops = {job.crop_path(1).as_posix() for job in jobs}
    assert {"out/faces/a.jpg-1.png", "out/faces/a.png-1.png", "out/faces/sub/a.jpg-1.png"} <= crops
    assert {"out/compare/a.jpg.jpg", "out/compare/a.png.jpg"} <= {
        job.comparison.as_posix() for job in jobs
    }
    ((job,), _) = plan_jobs(["photos/a.jpg"], Path("there/r.png"), overwrite=False)
    assert job.crop_path(1).as_posix() == "there/faces/r.png-1.png"


def test_inputs_and_results_must_not_lie_in_the_folders_of_extras(tree):
    def plan(*inputs, extras):
        jobs, problems = plan_jobs(inputs, Path("out"), overwrite=True, extras=extras)
        return [job.source.as_posix() for job in jobs], {p.name: p.reason for p in problems}

    lost = Path("out/compare/a.jpg.jpg")  # an input at the path of a.jpg's comparison
    nested = Path("photos/faces/a.png-1.png")  # its result would lie in the folder of faces
    for path in (lost, nested):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    inputs = ("photos/a.jpg", str(lost))
    assert plan(*inputs, extras=()) == (["photos/a.jpg", lost.as_posix()], {})
    with pytest.raises(GPENError, match=r"a\.jpg\.jpg is an input and lies in .*compare"):
        plan(*inputs, extras=("compare",))
    assert nested.as_posix() in plan("photos", extras=("compare",))[0]
    done, problems = plan("photos", extras=("compare", "faces"))
    assert nested.as_posix() not in done
    assert list(problems) == [str(nested)]


def test_a_pattern_does_not_match_results(tree):
    results = tree / "photos/restored"
    results.mkdir()
    (results / "a.jpg").write_bytes(b"x")
    asked = {"output": "photos/restored", "overwrite": True}
    assert set(pairs("photos/**/*.jpg", **asked)) == {"photos/a.jpg", "photos/sub/a.jpg"}
    assert pairs("photos/restored/*.jpg", output="photos/restored/again") == {
        "photos/restored/a.jpg": "photos/restored/again/a.jpg"
    }
    # Named explicitly, they are inputs.
    assert set(reasons("photos/restored/*.jpg", **asked)) == {"photos/restored/a.jpg"}


def test_a_folder_that_cannot_be_listed_is_a_problem(tree, monkeypatch):
    scandir = module.os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(module.os, "scandir", refuse)
    jobs, problems = plan_jobs(["photos"], Path("out"), overwrite=False)
    assert {job.source.name for job in jobs} == {"a.jpg", "a.png", "b.GIF"}
    assert [(Path(p.name).name, p.reason) for p in problems] == [
        ("sub", "Permission denied, skipped")
    ]
    jobs, problems = plan_jobs(["photos/sub"], Path("out"), overwrite=False)
    assert not jobs
    assert [p.reason for p in problems] == ["Permission denied, skipped"]


def test_an_input_that_matches_nothing_is_a_problem(tree):
    (tree / "empty").mkdir()
    jobs, problems = plan_jobs(
        ["no.jpg", "photos/a.jpg", "*.bmp", "empty"], Path("out"), overwrite=False
    )
    assert [job.source.name for job in jobs] == ["a.jpg"]
    assert [(problem.name, problem.reason.split(" (")[0]) for problem in problems] == [
        ("no.jpg", "does not exist, or may not be read"),
        ("*.bmp", "no image matches"),
        ("empty", "the folder holds no image"),
    ]


def test_a_link_is_restored_under_its_name_and_linked_folders_are_searched(tree):
    (tree / "photos/best.jpg").symlink_to(tree / "photos/sub/a.jpg")
    (tree / "other").mkdir()
    (tree / "other/o.jpg").write_bytes(b"x")
    (tree / "other/back").symlink_to(tree / "photos")  # a link without end
    (tree / "photos/linked").symlink_to(tree / "other")
    found = pairs("photos")
    assert {target.removeprefix("out/") for target in found.values()} == {
        "a.jpg", "a.png", "b.GIF.png", "best.jpg", "linked/o.jpg", "sub/a.jpg", "sub/顔 [1].webp",
    }  # fmt: skip
    assert "which is an input" in reasons("photos", output="photos", overwrite=True)["photos/a.jpg"]
    found = reasons("photos/best.jpg", output="photos/sub/a.jpg", overwrite=True)
    assert "which is an input" in found["photos/best.jpg"]


def test_a_pattern_may_begin_with_a_folder_whose_name_has_brackets(tree):
    (tree / "2019 [a]").mkdir()
    (tree / "2019 [a]/x.jpg").write_bytes(b"x")
    assert pairs("2019 [a]/*.jpg") == {"2019 [a]/x.jpg": "out/x.jpg"}


def test_a_name_that_is_too_long_is_a_problem_or_is_shortened(tree):
    word = "x" * 300 + ".jpg"
    (tree / "out").mkdir()
    long = "y" * 250 + ".gif"  # the name of its result is four characters longer
    (tree / "photos" / long).write_bytes(b"x")
    jobs, problems = plan_jobs(["photos", word], Path("out"), overwrite=False)
    assert [problem.name for problem in problems] == [word]
    assert len(jobs) == 6
    (job,) = (job for job in jobs if job.source.name == long)
    names = (job.target.name, job.comparison.name, job.crop_path(12).name)
    assert [len(name) for name in names] == [255, 255, 255]
    assert names[0].endswith(".png")
    assert names[1].endswith(".jpg")
    assert names[2].endswith("-12.png")
    assert len(set(names)) == 3


def test_inputs_without_a_job_are_counted_too(tree):
    (tree / "out").mkdir()
    (tree / "out/a.png").write_bytes(b"x")
    jobs, _ = plan_jobs(["photos"], Path("out"), overwrite=False)
    assert {job.source.name: job.number for job in jobs if job.source.parent.name == "photos"} == {
        "a.jpg": 0, "b.GIF": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("output", "words"), [("r.gif", "is not written"), ("plain", "a file")])
def test_an_impossible_output_is_refused_at_once(tree, output, words):
    (tree / "plain").write_bytes(b"x")
    with pytest.raises(GPENError, match=words):
        plan_jobs(["photos/a.jpg"], Path(output), overwrite=True)


def test_an_existing_result_is_kept_without_overwrite(tree):
    (tree / "out").mkdir()
    (tree / "out/a.jpg").write_bytes(b"x")
    assert "pass --overwrite" in reasons("photos")["photos/a.jpg"]
    assert len(plan_jobs(["photos"], Path("out"), overwrite=False)[0]) == 4
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


def test_inputs_that_would_become_one_result_are_all_refused(tree):
    reason = "the result would have the path of that of {}: {}. Neither is done; restore them into "
    one, other = "photos/a.jpg", "photos/sub/a.jpg"
    target = Path("out/a.jpg")
    assert reasons(one, other) == {
        one: f"{reason.format(Path(other), target)}two folders",
        other: f"{reason.format(Path(one), target)}two folders",
    }
    jobs, problems = plan_jobs(["photos"], Path("out"), overwrite=True, suffix=".png")
    assert {Path(problem.name).name for problem in problems} == {"a.jpg", "a.png"}
    assert {job.target.as_posix() for job in jobs} == {
        "out/b.png", "out/sub/a.png", "out/sub/顔 [1].png",
    }  # fmt: skip


def test_names_that_differ_in_case_are_one_on_some_systems(tree, monkeypatch):
    (tree / "photos/sub/A.JPG").write_bytes(b"x")
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert len(reasons("photos/a.jpg", "photos/sub/A.JPG")) == 2
    monkeypatch.setattr(module.sys, "platform", "linux")
    assert len(pairs("photos/a.jpg", "photos/sub/A.JPG")) == 2


def test_an_output_file_needs_a_single_input_file(tree):
    for inputs in (["photos"], ["photos/a.jpg", "photos/a.png"], ["photos/*.jpg"]):
        with pytest.raises(GPENError, match=r"r\.png names an image file.*Name a folder"):
            plan_jobs(inputs, Path("r.png"), overwrite=False)
