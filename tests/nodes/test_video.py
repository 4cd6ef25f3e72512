"""Restore Video: what it makes of a video, and what it leaves behind."""

from __future__ import annotations

import io
from pathlib import Path

import films
import pytest


class Video:
    """A video as the host hands it over: a file or its bytes, and the part that it stands for."""

    def __init__(self, source, window=(0.0, 0.0)):
        self.source, self.window = source, window

    def get_stream_source(self):
        return self.source

    def get_active_trim_window(self):
        return self.window


@pytest.fixture
def temp(nodes, tmp_path, monkeypatch):
    """The host's temporary folder."""
    folder = tmp_path / "temp"
    monkeypatch.setattr(nodes.host.folder_paths, "get_temp_directory", lambda: str(folder))
    return folder


@pytest.fixture
def source(tmp_path):
    return films.make_film(tmp_path / "in.mp4", films.moving_face(3) + films.plain(3))


@pytest.fixture
def red(core):
    """A detector of red squares that gives the pack's own faces."""

    class Detector(films.RedDetector):
        def find(self, pixels, **options):
            found = super().find(pixels, **options)
            fields = (found.boxes, found.landmarks, found.scores, found.image_index)
            return core("faces").Faces(*fields, found.image_size)

    return Detector()


def test_a_video_becomes_a_file_that_save_video_can_copy(node, model, red, source, temp):
    result = node("GPENRestoreVideo", video=Video(str(source)), model=model, detector=red)
    path = Path(result[0].get_stream_source())
    assert list(temp.iterdir()) == [path]
    assert path.suffix == ".mp4"
    assert len(films.read_frames(path)) == 6
    assert "Restored faces in 3 of 6 frames" in result[1]


def test_a_video_in_memory_is_restored_too(node, model, red, source, temp):
    video = Video(io.BytesIO(source.read_bytes()))
    result = node("GPENRestoreVideo", video=video, model=model, detector=red)
    assert list(temp.iterdir()) == [Path(result[0].get_stream_source())]


def test_only_the_part_that_the_video_stands_for_is_restored(node, model, red, source, temp):
    video = Video(str(source), (0.04, 0.12))
    result = node("GPENRestoreVideo", video=video, model=model, detector=red)
    assert len(films.read_frames(Path(result[0].get_stream_source()))) == 3


@pytest.mark.parametrize("calls", [1, 8])
def test_cancel_leaves_no_file(node, nodes, model, red, source, temp, monkeypatch, calls):
    class CancelledError(Exception):
        pass

    left = [calls]

    def stop():
        left[0] -= 1
        if left[0] <= 0:
            raise CancelledError

    monkeypatch.setattr(nodes.host, "stop_if_cancelled", stop)
    with pytest.raises(CancelledError):
        node("GPENRestoreVideo", video=Video(str(source)), model=model, detector=red)
    assert not list(temp.iterdir())


def test_an_error_leaves_no_file_and_names_no_option(node, core, model, red, tmp_path, temp):
    def prepare(container, stream):
        stream.codec_context.color_trc = 16

    source = films.make_film(tmp_path / "hdr.mkv", films.plain(2), prepare=prepare)
    with pytest.raises(core("errors").ImageError, match=r"HDR \(PQ\)") as failed:
        node("GPENRestoreVideo", video=Video(str(source)), model=model, detector=red)
    assert "--" not in str(failed.value)
    assert not list(temp.iterdir())
