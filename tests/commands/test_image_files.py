"""Which files a command takes, refuses, skips and tells of. `gpen degrade` needs no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from odd_images import add_png_chunks, encode, make_photograph
from PIL import Image

from gpen_core import cli
from gpen_core.media import read_picture

SAMPLES = make_photograph()
TEXT = (b"tEXt", b"parameters\0a photo")


@pytest.fixture
def gpen(tmp_path, monkeypatch, capsys):
    """Run `gpen degrade --strength 0` in tmp_path: it decodes and encodes, and no more."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(["degrade", "--strength", "0", "--device", "cpu", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def save(name, data=None):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(SAMPLES, "PNG") if data is None else data)


def results():
    return {path.as_posix() for path in Path("out").rglob("*") if path.is_file()}


def test_existing_results_are_skipped_when_asked_and_nothing_has_failed(gpen):
    for name in ("in/a.png", "in/b.png"):
        save(name)
    save("out/a.png", b"mine")
    code, out, err = gpen("in", "-o", "out", "--skip-existing")
    assert (code, err) == (0, "")
    assert "1 skipped: their results exist." in out
    assert Path("out/a.png").read_bytes() == b"mine"
    assert results() == {"out/a.png", "out/b.png"}
    assert gpen("in", "-o", "out", "--skip-existing")[:2] == (
        0, "2 skipped: their results exist.\n",
    )  # fmt: skip
    code, _, err = gpen("in", "-o", "out", "--skip-existing", "--overwrite")
    assert code == 2
    assert "contradict" in err


def test_all_results_of_a_folder_get_the_suffix_asked_for(gpen):
    save("in/a.jpg", encode(SAMPLES, "JPEG"))
    save("in/b.gif", encode(SAMPLES, "GIF"))
    save("in/c.jpg", encode(np.dstack([SAMPLES, SAMPLES[..., :1]]), "PNG"))  # RGBA, named .jpg
    code, _, err = gpen("in", "-o", "all")
    assert code == 1
    assert "c.jpg: all/c.jpg is not written: JPEG holds no transparency" in err.replace("\\", "/")
    assert "--ext png" in err
    for words in (["--ext", "png"], ["--ext", ".PNG", "--overwrite"]):
        assert gpen("in", "-o", "out", *words)[0] == 0
        assert results() == {"out/a.png", "out/b.png", "out/c.png"}
    assert read_picture("out/c.png").alpha is not None
    with pytest.raises(SystemExit, match="2"):
        gpen("in", "-o", "out", "--ext", "gif")
    code, _, err = gpen("in/a.jpg", "-o", "x.tif", "--ext", "png")
    assert code == 2
    assert "name two kinds" in err


def test_two_inputs_that_get_one_name_are_both_refused_and_the_rest_is_done(gpen):
    save("in/a.jpg", encode(SAMPLES, "JPEG"))
    save("in/a.png")
    save("in/b.png")
    code, _, err = gpen("in", "-o", "out", "--ext", "tif")
    assert code == 1
    names = [str(Path("in", name)) for name in ("a.jpg", "a.png")]
    for name, other in (names, names[::-1]):
        assert f"gpen: {name}: the result would have the path of that of {other}: " in err
    assert results() == {"out/b.tif"}


def test_damage_is_told_and_refused_only_when_strict(gpen):
    save("in/a.jpg", encode(SAMPLES, "JPEG")[:-2])
    save("in/b.png")
    code, _, err = gpen("in", "-o", "out", "--strict")
    assert code == 1
    assert results() == {"out/b.png"}
    assert "a.jpg lacks its end marker" in err
    assert "Leave out --strict" in err
    code, _, err = gpen("in/a.jpg", "-o", "out")
    assert code == 0
    assert err.replace("\\", "/") == (
        "gpen: in/a.jpg lacks its end marker, but no row is missing.\n"
    )
    assert "out/a.jpg" in results()


def test_large_pictures_are_opened_when_allowed_and_their_memory_is_told(gpen, monkeypatch):
    save("a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    code, _, err = gpen("a.png", "-o", "b.png")
    assert code == 1
    assert "too large to open unasked" in err
    code, _, err = gpen("a.png", "-o", "b.png", "--allow-large")
    assert code == 0
    assert "(96 × 64); restoring it takes about" in err
    levels = read_picture("b.png", allow_large=True).pixels[0].movedim(0, -1) * 255
    assert np.array_equal(levels.round().numpy(), SAMPLES)


def test_each_kind_of_loss_is_told_once_in_a_run(gpen):
    for number in range(3):
        save(f"in/{number}.png", add_png_chunks(encode(SAMPLES, "PNG"), TEXT))
    code, _, err = gpen("in", "-o", "out", "--ext", "jpg")
    assert code == 0
    assert err.count("a PNG's texts") == 1
    assert "0.png: the result does not keep a PNG's texts" in err
    assert gpen("in", "-o", "kept")[2] == ""


def test_an_absent_input_is_called_absent(gpen):
    code, _, err = gpen("missing.jpg", "-o", "out.jpg")
    assert code == 2
    assert "missing.jpg does not exist" in err


@pytest.mark.parametrize(
    "error", [AttributeError("no attribute"), TypeError(), LookupError("x"), MemoryError()]
)
def test_a_failure_inside_pillow_does_not_end_the_batch(gpen, monkeypatch, error):
    save("in/a.png")
    save("in/b.bmp", encode(SAMPLES, "BMP"))
    save("in/c.png")
    real = Image.Image.save

    def save_image(image, file, kind, **options):
        if kind == "BMP":
            raise error
        real(image, file, kind, **options)

    monkeypatch.setattr(Image.Image, "save", save_image)
    code, _, err = gpen("in", "-o", "out")
    assert code == 1
    assert err.splitlines()[1:] == ["gpen: 1 of 3 failed, 2 done."]
    assert "b.bmp" in err
    assert results() == {"out/a.png", "out/c.png"}
