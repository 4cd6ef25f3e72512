"""`gpen restore` with films."""

from __future__ import annotations

import films
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from gpen_core import cli
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.commands import restorer


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen restore` in a folder with a small model, a film and a picture."""
    monkeypatch.setattr(restorer, "load_detector", lambda *_, **__: films.RedDetector())
    monkeypatch.chdir(tmp_path)
    config = GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    save_file(GPEN(config).state_dict(), "small.safetensors")
    (tmp_path / "in").mkdir()
    films.make_film(tmp_path / "in" / "a.mp4", films.moving_face(2) + films.plain(2))
    Image.fromarray(films.background()).save("in/b.png")

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["restore", "--model", "small.safetensors", *words])
        return code, *capsys.readouterr()

    return run


def test_a_folder_may_mix_films_and_images(gpen, tmp_path):
    code, out, err = gpen("in", "-o", "out", "--no-steady")
    assert (code, err) == (0, "")
    assert "a.mp4: 4 frames, 2 with faces" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "b.png"}
    assert len(films.read_frames(tmp_path / "out" / "a.mp4")) == 4


def test_frames_stand_in_a_folder_named_like_the_film(gpen, tmp_path):
    assert gpen("in/a.mp4", "-o", "out", "--frames", "--start", "0:00:00.04")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out" / "a").iterdir())
    assert names == ["000001.png", "000002.png", "000003.png"]


def test_a_film_of_a_kind_that_is_not_written_becomes_mp4(gpen, tmp_path):
    films.make_film(tmp_path / "in" / "c.avi", films.plain(2), codec="mpeg4")
    assert gpen("in/c.avi", "in/b.png", "-o", "out")[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"c.avi.mp4", "b.png"}


def test_a_damaged_film_is_written_and_fails(gpen, tmp_path):
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 90, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    path = films.make_film(tmp_path / "cut.mkv", pictures)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, _, err = gpen("cut.mkv", "-o", "out.mkv", "--preset", "ultrafast")
    assert code == 1
    assert "could be read up to 0." in err
    assert "out.mkv holds what could be read" in err
    assert films.read_frames(tmp_path / "out.mkv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("in/a.mp4", "-o", "out.png"), "names an image, but in/a.mp4 is a film"),
        (("in/b.png", "-o", "out.mp4"), "names a film, but the input is not a single film"),
        (("in/a.mp4", "-o", "out.avi"), ".avi is not written"),
        (("in/a.mp4", "-o", "out.mp4", "--scale", "2"), "a.mp4 is a film; --scale has no effect"),
        (("in/b.png", "-o", "out.png", "--crf", "3"), "No input is a film; --crf has no effect"),
        (("no.mp4", "-o", "out.mp4"), "no.mp4 does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(gpen, tmp_path, words, message):
    before = set(tmp_path.rglob("*"))
    code, _, err = gpen(*words)
    assert code == 2
    assert message in err
    assert set(tmp_path.rglob("*")) == before


def test_ctrl_c_says_how_to_go_on(gpen, tmp_path, monkeypatch):
    from gpen_core.video import rendering

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rendering.Renderer, "render", stop)
        code, _, err = gpen("in/a.mp4", "-o", "out.mp4")
    assert code == 130
    assert "out.mp4.parts keeps what is done; the same command goes on there" in err
    assert gpen("in/a.mp4", "-o", "out.mp4")[0] == 0
    assert not (tmp_path / "out.mp4.parts").exists()


@pytest.mark.parametrize("text", ["1:2:3:4", "x", "-3"])
def test_times_that_are_none_are_refused(gpen, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        gpen("in/a.mp4", "-o", "out.mp4", f"--start={text}")
    assert stopped.value.code == 2
    assert "--start" in capsys.readouterr().err
