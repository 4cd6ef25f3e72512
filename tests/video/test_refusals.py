"""Files and options that are refused: with a reason, and without a trace."""

from __future__ import annotations

import shutil

import av
import films
import pytest
from PIL import Image

from gpen_core.errors import GPENError, ImageError


@pytest.fixture
def film(tmp_path):
    return films.make_film(tmp_path / "in.mp4", films.plain(3))


def refuse(restore, tmp_path, message, source="in.mp4", target="out.mp4", **options):
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(GPENError, match=message):
        restore(source, target, **options)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_picture_named_as_a_film(tmp_path, restore):
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    shutil.move(tmp_path / "p.png", tmp_path / "in.mp4")
    refuse(restore, tmp_path, r"in\.mp4 is a picture \(PNG\)")


def test_text_named_as_a_film(tmp_path, restore):
    (tmp_path / "in.mp4").write_text("no film " * 100)
    refuse(restore, tmp_path, "is no film that can be read")


def test_an_empty_file(tmp_path, restore):
    (tmp_path / "in.mp4").touch()
    refuse(restore, tmp_path, "is empty")


def test_a_list_of_other_files(tmp_path, restore, film):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {film}\n")
    refuse(restore, tmp_path, "no film that can be read", "list.mp4")
    (tmp_path / "list.ts").write_text(f"#EXTM3U\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n")
    refuse(restore, tmp_path, "no film that can be read", "list.ts")


def test_sound_alone(tmp_path, restore):
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        films.add_sound(container)(container)
    refuse(restore, tmp_path, "holds no moving picture, only audio")


def test_a_recording_without_an_index(tmp_path, restore, film):
    film.write_bytes(film.read_bytes()[:-900])
    refuse(restore, tmp_path, "has no index")


def test_an_encrypted_film(tmp_path, restore):
    keys = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    with av.open(str(tmp_path / "in.mp4"), "w", container_options=keys) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        for picture in films.plain(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    refuse(restore, tmp_path, "is encrypted")


@pytest.mark.skipif(
    not hasattr(av.VideoFrame, "color_trc"), reason="PyAV 16 does not tell the colours of a frame"
)
@pytest.mark.parametrize(("transfer", "kind"), [(16, "PQ"), (18, "HLG")])
def test_hdr_without_its_option(tmp_path, restore, transfer, kind):
    def prepare(container, stream):
        stream.codec_context.color_trc = transfer

    films.make_film(tmp_path / "in.mkv", films.plain(2), prepare=prepare)
    refuse(restore, tmp_path, rf"HDR \({kind}\).*--hdr", "in.mkv")
    restore("in.mkv", "out.mkv", hdr=True)
    assert int(films.read_frames(tmp_path / "out.mkv")[0].color_trc) == transfer


@pytest.mark.usefixtures("film")
class TestOptions:
    def test_the_input_as_the_output(self, tmp_path, restore):
        refuse(restore, tmp_path, "would replace", target="in.mp4", overwrite=True)

    def test_a_result_that_exists(self, tmp_path, restore):
        (tmp_path / "out.mp4").write_bytes(b"mine")
        refuse(restore, tmp_path, "exists. Pass --overwrite")
        assert (tmp_path / "out.mp4").read_bytes() == b"mine"

    def test_an_unknown_kind_of_film(self, tmp_path, restore):
        refuse(restore, tmp_path, r"films are written as \.mp4.*not \.avi", target="out.avi")

    def test_an_unknown_codec(self, tmp_path, restore):
        refuse(restore, tmp_path, "no video encoder for 'h267'", codec="h267")

    def test_a_pixel_format_that_the_encoder_lacks(self, tmp_path, restore):
        refuse(restore, tmp_path, "mpeg4 cannot write yuv444p", codec="mpeg4", pix_fmt="yuv444p")

    def test_a_quality_that_the_encoder_does_not_know(self, tmp_path, restore):
        refuse(restore, tmp_path, "mpeg4 knows no CRF", codec="mpeg4", crf=3)

    def test_a_preset_that_does_not_exist(self, tmp_path, restore):
        with pytest.raises(ImageError, match="could not encode"):
            restore("in.mp4", "out.mp4", preset="hasty", restart=True)
        assert not (tmp_path / "out.mp4").exists()

    def test_a_start_after_the_end(self, tmp_path, restore):
        with pytest.raises(ImageError, match=r"--start 9 lies after the end .* at 0\.08 s"):
            restore("in.mp4", "out.mp4", start=9)
        refuse(restore, tmp_path, "end must lie after start", start=2, end=1)

    def test_a_codec_that_the_container_cannot_hold(self, tmp_path, restore):
        message = r"\.webm cannot hold what libx264 writes.*--codec"
        refuse(restore, tmp_path, message, target="out.webm", codec="h264")

    def test_a_full_disk(self, tmp_path, restore, monkeypatch):
        usage = shutil.disk_usage(tmp_path)._replace(free=100)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        refuse(restore, tmp_path, "GB are free there")
