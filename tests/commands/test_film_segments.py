"""Films in segments: `gpen chunk`, `run-chunk` and `join`, and `gpen restore --jobs`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import films
import pytest
import torch
from inline_pool import InlinePool
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.batch.work import FAILED, Result
from gpen_core.commands import batch, restorer
from gpen_core.commands.batch_work import load_segments, load_work
from gpen_core.video import segments

MODEL = ("--model", "small.safetensors", "--preset", "ultrafast")


@pytest.fixture(scope="module", autouse=True)
def _short_segments():
    """Segments have 3 frames. Several threads for a small picture would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restorer, "load_detector", lambda *_, **__: films.RedDetector())
        patch.setattr(segments, "SEGMENT_SECONDS", 0.1)
        patch.setattr(segments, "LEAST_SEGMENT", 3)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a model, a film of two scenes with sound, and the film of one process."""
    folder = tmp_path_factory.mktemp("film")
    torch.manual_seed(5)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), folder / "small.safetensors")
    sound = {}

    def prepare(container, stream):
        sound["write"] = films.add_sound(container, 0.4)

    pictures = films.moving_face(5) + films.moving_face(5, seed=3, step=2)
    path = folder / "a.mp4"
    films.make_film(path, pictures, prepare=prepare, finish=lambda c: sound["write"](c))
    model = str(folder / "small.safetensors"), *MODEL[2:]
    assert cli.main(["restore", str(path), "-o", str(folder / "plain.mp4"), "--model", *model]) == 0
    return folder


@pytest.fixture
def gpen(inputs, monkeypatch, capsys):
    """Run `gpen` in the folder of the inputs."""
    monkeypatch.chdir(inputs)
    capsys.readouterr()

    def run(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def packets(path: Path | str) -> tuple:
    return tuple(films.list_packets(Path(path), kind) for kind in ("video", "audio"))


def test_segments_in_any_order_join_to_the_film_of_one_process(gpen, tmp_path):
    plan, out = tmp_path / "plan", tmp_path / "out.mp4"
    words = ("chunk", "a.mp4", "-o", out, "--plan", plan, *MODEL)
    code, said, _ = gpen(*words, "--segments", 1)
    assert code == 0
    assert said.startswith("4 segments of films in 4 chunks.")
    for index in (3, 1, 0):
        code, said, _ = gpen("run-chunk", plan, "--index", index)
        assert code == 0
        assert f"a.mp4, frames {3 * index} to {min(9, 3 * index + 2)} → " in said
    code, said, err = gpen("join", plan)
    assert code == 1
    assert "1 of 4 segments of a.mp4 are missing" in err
    assert "chunk 2: 1 left: gpen run-chunk" in err
    assert not out.exists()
    assert gpen("run-chunk", plan, "--index", 2)[0] == 0
    code, said, err = gpen("join", plan)
    assert (code, err) == (0, "")
    assert "out.mp4: 10 frames, 10 with faces" in said
    assert packets(out) == packets("plain.mp4")
    assert [len(found) > 9 for found in packets(out)] == [True, True]
    before = out.stat()
    assert gpen("join", plan)[0] == 0
    assert out.stat() == before
    out.write_bytes(b"mine")
    code, _, err = gpen("join", plan)
    assert code == 1
    assert out.read_bytes() == b"mine"
    assert "out.mp4" in err


def test_a_plan_mixes_films_and_images_and_makes_lost_segments_again(gpen, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    film = folder / "a.mp4"
    film.write_bytes(Path("a.mp4").read_bytes())
    (folder / "bad.mp4").write_bytes(b"no film")
    Image.fromarray(films.background()).save(folder / "b.png")
    plan, out = tmp_path / "plan", tmp_path / "out"
    words = ("chunk", folder, "-o", out, "--plan", plan, "--no-steady", *MODEL)
    code, said, err = gpen(*words, "--segments", 3, "--json")
    assert code == 1
    assert "bad.mp4" in err
    assert json.loads(said.splitlines()[0]) == {"chunks": 3, "files": 1, "segments": 4}
    for index in range(3):
        assert gpen("run-chunk", plan, "--index", index)[0] == 0
    assert gpen("run-chunk", plan, "--index", 1)[1] == ""
    first, second, *_ = sorted((plan / "films" / "000000").glob("*.mp4"))
    first.unlink()
    second.write_bytes(b"half")
    assert gpen("run-chunk", plan, "--index", 1)[1].count("3 frames") == 2
    assert gpen("join", plan)[0] == 0
    assert {path.name for path in out.iterdir()} == {"a.mp4", "b.png"}
    assert len(films.read_frames(out / "a.mp4")) == 10
    first.unlink()
    films.make_film(film, films.plain(9))
    code, _, err = gpen("run-chunk", plan, "--index", 1)
    assert code == 1
    assert "was replaced since its faces were found" in err


@pytest.mark.parametrize("option", ["--frames", "--keep-partial"])
def test_options_that_need_one_process_are_refused(gpen, tmp_path, option):
    words = ("a.mp4", "-o", tmp_path / "out", *MODEL, option)
    for command in (("chunk", "--plan", tmp_path / "plan"), ("restore", "--jobs", 2)):
        code, _, err = gpen(*command, *words)
        assert code == 2
        assert f"{option} has no effect on films" in err
    assert not list(tmp_path.iterdir())


def test_a_failed_segment_fails_the_film_and_the_same_command_goes_on(gpen, tmp_path, monkeypatch):
    done = []

    def load(options, *, bad):
        inner = load_segments(options)

        def do(task):
            if task.payload["number"] == bad:
                return Result(task.name, task.source, FAILED, "memory ran out")
            done.append(task.payload["number"])
            return inner(task)

        return do

    pool = lambda args, load: InlinePool(partial(load, batch.pack_options(args)))  # noqa: E731
    monkeypatch.setattr(batch, "make_pool", lambda args, load=load_work: pool(args, load))
    monkeypatch.setattr(batch, "load_segments", partial(load, bad=1))
    Image.fromarray(films.background()).save(tmp_path / "b.png")
    out = tmp_path / "out"
    words = ("restore", "a.mp4", tmp_path / "b.png", "-o", out, *MODEL, "--jobs", 2)
    code, _, err = gpen(*words)
    assert code == 1
    assert "a.mp4, frames 3 to 5: memory ran out. " in err
    assert "a.mp4.parts keeps what is done" in err
    assert not (out / "a.mp4").exists()
    monkeypatch.setattr(batch, "load_segments", partial(load, bad=None))
    films_only = [word for word in words if word != tmp_path / "b.png"]
    code, said, _ = gpen(*films_only)
    assert code == 0
    assert "a.mp4: 10 frames, 10 with faces" in said
    assert done == [0, 2, 3, 0, 1, 2, 3]
    assert packets(out / "a.mp4") == packets("plain.mp4")
    assert {path.name for path in out.iterdir()} == {"a.mp4", "b.png"}


def test_no_second_run_gets_in_while_workers_render(gpen, tmp_path, monkeypatch):
    words = ["restore", "a.mp4", "-o", str(tmp_path / "out.mp4"), *MODEL, "--jobs", "2"]
    codes = []

    def load(options):
        inner = load_segments(options)

        def do(task):
            if task.payload["number"] == 2:
                codes.append(cli.main([*words, "--restart"]))
            return inner(task)

        return do

    pool = lambda args, load: InlinePool(partial(load, batch.pack_options(args)))  # noqa: E731
    monkeypatch.setattr(batch, "make_pool", pool)
    monkeypatch.setattr(batch, "load_segments", load)
    code, _, err = gpen(*words)
    assert (code, codes) == (0, [1])
    assert "is in use: another run restores this film" in err
    assert packets(tmp_path / "out.mp4") == packets("plain.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_journal_takes_films_that_are_named_and_says_which_it_leaves_out(
    gpen, inputs, tmp_path, monkeypatch
):
    pool = lambda args: InlinePool(partial(load_work, batch.pack_options(args)))  # noqa: E731
    monkeypatch.setattr(batch, "make_pool", pool)
    folder, out, journal = tmp_path / "in", tmp_path / "out", tmp_path / "run.sqlite"
    folder.mkdir()
    Image.fromarray(films.background()).save(folder / "b.png")
    (folder / "c.mp4").write_bytes((inputs / "a.mp4").read_bytes())
    code, _, err = gpen("restore", folder, "-o", out, *MODEL[:2], "--journal", journal)
    assert code == 0
    assert "c.mp4: a film in a folder; it is left out. With --journal, films must be named." in err
    assert [path.name for path in out.iterdir()] == ["b.png"]
    film = tmp_path / "film.mp4"
    words = ("restore", "a.mp4", "-o", film, *MODEL, "--journal", tmp_path / "film.sqlite")
    assert gpen(*words)[0] == 0
    assert packets(film) == packets("plain.mp4")
    code, _, err = gpen(*words, "--keep-partial")
    assert code == 2
    assert "--keep-partial has no effect on films in a run with --journal" in err


@pytest.mark.slow
@pytest.mark.parametrize("engine", [(), ("--engine", "ray")])
def test_two_real_workers_make_the_film_of_one_process(gpen, tmp_path, engine):
    """The picture has a pool of its own, before the film's."""
    picture, out = tmp_path / "b.png", tmp_path / "out"
    Image.fromarray(films.background()).save(picture)
    words = ("restore", "a.mp4", picture, "-o", out, *MODEL, "--jobs", 2, "--threads", 1)
    assert gpen(*words, "--detector", "mtcnn", *engine)[0] == 0
    assert packets(out / "a.mp4") == packets("plain.mp4")
    assert {path.name for path in out.iterdir()} == {"a.mp4", "b.png"}
