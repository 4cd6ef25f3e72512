"""Runs that are interrupted and go on, and films that end early."""

from __future__ import annotations

import films
import numpy as np
import pytest

from gpen_core.errors import ImageError
from gpen_core.video import VideoOptions, state
from gpen_core.video.encoding import choose_encoding
from gpen_core.video.films import inspect_film
from gpen_core.video.plans import TrackFile, make_plan
from gpen_core.video.rendering import Renderer

pytestmark = pytest.mark.usefixtures("short_segments")


@pytest.fixture
def source(tmp_path):
    pictures = films.plain(7) + films.moving_face(5) + films.plain(6)
    return films.make_film(tmp_path / "in.mp4", pictures)


def stop_at(stage, frame):
    """Return an `on_progress` that is Ctrl-C at a frame of a stage."""

    def on_progress(now, done, total):
        if (now, done) == (stage, frame):
            raise KeyboardInterrupt

    return on_progress


def test_a_film_interrupted_anywhere_is_the_one_that_was_not(tmp_path, restore, source):
    restore(source, "whole.mp4")
    for stage, frame in (("faces", 7), ("frames", 3), ("frames", 13)):
        with pytest.raises(KeyboardInterrupt):
            restore(source, "out.mp4", stop_at(stage, frame))
        assert not (tmp_path / "out.mp4").exists()
    assert len(list((tmp_path / "out.mp4.parts").glob("0*.mp4"))) == 2
    again = []
    restore(source, "out.mp4", lambda stage, done, total: again.append((stage, done)))
    assert again[0] == ("frames", 11)  # the first frame of the third segment
    assert [len(again), *again[-1]] == [8, "frames", 18]
    assert films.list_packets(tmp_path / "out.mp4", "video") == films.list_packets(
        tmp_path / "whole.mp4", "video"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4", "whole.mp4"}


def test_a_killed_search_goes_on_with_the_same_result(tmp_path, restore, source):
    """A jittering detector would give other landmarks if frames were searched twice."""
    whole, first, second = (films.RedDetector() for _ in range(3))
    restore(source, "out.mp4", detector=whole)
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out2.mp4", stop_at("faces", 9), detector=first)
    file = tmp_path / "out2.mp4.parts" / "tracks.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 9
    file.write_bytes(b"".join(lines) + b"[9,36")  # killed while writing
    restore(source, "out2.mp4", detector=second)
    assert 0 < len(second.searched) == len(whole.searched) - len(first.searched)
    assert films.list_packets(tmp_path / "out.mp4", "video") == films.list_packets(
        tmp_path / "out2.mp4", "video"
    )


def test_a_segment_alone_is_that_of_the_whole_film(tmp_path, restore, source, darkening):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", 18))
    folder = tmp_path / "out.mp4.parts"
    records, _ = TrackFile(folder / "tracks.jsonl").read()
    film = inspect_film(source)
    options = VideoOptions(preset="ultrafast", colour="keep")
    plan = make_plan(records, "gpen", steady=True)
    renderer = Renderer(darkening, film, plan, choose_encoding(film, preset="ultrafast"), options)
    renderer.render(10, 15, tmp_path / "alone.mp4")
    assert films.list_packets(tmp_path / "alone.mp4", "video") == films.list_packets(
        folder / "000002.mp4", "video"
    )


def test_other_options_do_not_mix_with_what_is_done(tmp_path, restore, source):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", 8))
    with pytest.raises(ImageError, match=r"another --codec: libx264 16.*now libx264 3.*--restart"):
        restore(source, "out.mp4", crf=3)
    assert restore(source, "out.mp4", crf=3, restart=True).frames == 18
    assert not state.find_folder(tmp_path / "out.mp4").exists()


def test_ctrl_c_leaves_a_film_on_request(tmp_path, restore, source):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", 12), keep_partial=True)
    assert len(films.read_frames(tmp_path / "out.partial.mp4")) == 10
    assert not (tmp_path / "out.mp4").exists()
    restore(source, "out.mp4", keep_partial=True)
    assert len(films.read_frames(tmp_path / "out.mp4")) == 18
    assert not (tmp_path / "out.partial.mp4").exists()


def test_pictures_go_on_too(tmp_path, restore, source):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "pictures", stop_at("frames", 8), frames=True)
    assert not (tmp_path / "pictures").exists()
    again = []
    restore(source, "pictures", lambda stage, done, _: again.append((stage, done)), frames=True)
    assert again[0] == ("frames", 9)
    assert len(list((tmp_path / "pictures").iterdir())) == 18


def test_a_replaced_film_is_noticed(tmp_path, restore, source):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", 8))
    films.make_film(source, films.plain(19))
    with pytest.raises(ImageError, match=r"interrupted run with another (size|date) of the film"):
        restore(source, "out.mp4")


@pytest.mark.parametrize("frame", [8, 12])
def test_a_film_without_times_to_search_by_goes_on(tmp_path, restore, frame):
    """A bare H.264 stream has no index."""
    source = films.make_film(tmp_path / "in.h264", films.plain(18))
    restore(source, "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", frame))
    restore(source, "out.mp4")
    assert films.list_packets(tmp_path / "out.mp4", "video") == films.list_packets(
        tmp_path / "whole.mp4", "video"
    )


def test_a_truncated_film_is_restored_so_far(tmp_path, restore):
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    source = films.make_film(tmp_path / "in.mkv", pictures)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    report = restore(source, "out.mkv")
    assert 12 <= report.frames <= 24
    assert report.damage is not None
    end = report.frames / 25
    assert f"up to {end:.2f} s of 1.60 s" in report.damage
    assert len(films.read_frames(tmp_path / "out.mkv")) == report.frames
    with pytest.raises(ImageError, match="Nothing was written"):
        restore(source, "strict.mkv", strict=True)
    assert not (tmp_path / "strict.mkv").exists()


def test_damage_in_the_middle_costs_only_what_it_hit(tmp_path, restore):
    options = {"preset": "ultrafast", "g": "1", "crf": "8"}
    source = films.make_film(tmp_path / "in.mp4", films.moving_face(12), options=options)
    data = bytearray(source.read_bytes())
    packets = films.list_packets(source, "video")
    place = data.find(packets[5][1])
    data[place : place + len(packets[5][1])] = bytes(len(packets[5][1]))
    source.write_bytes(data)
    report = restore(source, "out.mp4")
    assert report.frames >= 11
    assert report.damage is not None
    assert "damaged" in report.damage


def test_a_second_run_on_the_same_result_is_refused_and_touches_nothing(tmp_path, restore, source):
    folder = tmp_path / "out.mp4.parts"
    seen = []

    def on_progress(stage, done, total):
        if (stage, done) == ("frames", 13):
            before = {path: path.read_bytes() for path in folder.iterdir()}
            for options in ({}, {"restart": True}):
                with pytest.raises(ImageError, match="in use: another run restores this film"):
                    restore(source, "out.mp4", **options)
            seen.append(before == {path: path.read_bytes() for path in folder.iterdir()})

    restore(source, "out.mp4", on_progress)
    assert seen == [True]
    assert not folder.exists()


def test_what_a_dead_run_left_stops_nobody(tmp_path, restore, source):
    with pytest.raises(KeyboardInterrupt):
        restore(source, "out.mp4", stop_at("frames", 13))
    assert (tmp_path / "out.mp4.parts" / "lock").is_file()
    restore(source, "out.mp4", restart=True)
    assert (tmp_path / "out.mp4").is_file()
