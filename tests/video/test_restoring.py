"""What a restored film keeps of the film that it was made from."""

from __future__ import annotations

import io
import threading
from fractions import Fraction

import av
import films
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from gpen_core.errors import ImageError
from gpen_core.video.films import inspect_film
from gpen_core.video.reading import FilmReader


def make_png():
    """Return the bytes of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 30, 90)).save(file, "PNG")
    return file.getvalue()


COVER = make_png()
LOSSLESS = {"codec": "libx264", "crf": 0}
SUBTITLE = b"1\n00:00:00,120 --> 00:00:00,400\nhello\n"


def prepare_with_sound(seconds=0.5):
    """Return `prepare` and `finish` of `make_film` that add sound."""
    writers = []
    return (
        lambda container, stream: writers.append(films.add_sound(container, seconds)),
        lambda container: writers[0](container),
    )


def change(before, after):
    """Return the largest change of each frame's luma."""
    pairs = zip(before, after, strict=True)
    return [int(np.abs(one - other).max()) for one, other in pairs]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_and_times_are_those_of_the_source(tmp_path, restore, suffix):
    prepare, finish = prepare_with_sound()
    # Variable rate: frames of 20 to 180 ms.
    times = [0, 40, 60, 240, 280, 300, 400]
    source = films.make_film(
        tmp_path / f"in{suffix}", films.plain(7), times=times, prepare=prepare, finish=finish
    )
    report = restore(source, f"out{suffix}")
    assert (report.frames, report.with_faces, report.damage) == (7, 0, None)
    before, after = (
        films.list_packets(source, "audio"),
        films.list_packets(tmp_path / f"out{suffix}", "audio"),
    )
    assert [data for _, data in before] == [data for _, data in after]
    assert [time for time, _ in before] == [time for time, _ in after]
    shown = [
        float(frame.pts * frame.time_base) for frame in films.read_frames(tmp_path / f"out{suffix}")
    ]
    given = [float(frame.pts * frame.time_base) for frame in films.read_frames(source)]
    assert shown == given
    assert np.diff(shown) * 1000 == pytest.approx(np.diff(times))
    assert {path.name for path in tmp_path.iterdir()} == {f"in{suffix}", f"out{suffix}"}


def test_times_hold_to_a_millisecond_where_matroska_moves_sound_before_0(tmp_path, restore):
    prepare, finish = prepare_with_sound()
    source = films.make_film(tmp_path / "in.mp4", films.plain(6), prepare=prepare, finish=finish)
    restore(source, "out.mkv")
    kinds = [
        films.list_packets(path, kind)[0][0]
        for path in (source, tmp_path / "out.mkv")
        for kind in ("video", "audio")
    ]
    assert kinds[2] - kinds[3] == pytest.approx(kinds[0] - kinds[1], abs=0.002)


def test_only_faces_are_changed_and_frames_without_one_are_untouched(tmp_path, restore):
    pictures = [films.background()] * 3 + films.moving_face(4) + [films.background()] * 3
    source = films.make_film(
        tmp_path / "in.mp4", pictures, options={"preset": "ultrafast", "crf": "0"}
    )
    report = restore(source, "out.mp4", steady=False, detect_every=1, **LOSSLESS)
    assert (report.frames, report.with_faces, report.tracks) == (10, 4, 1)
    for number, (before, after) in enumerate(
        zip(films.read_frames(source), films.read_frames(tmp_path / "out.mp4"), strict=True)
    ):
        planes = [
            np.abs(np.asarray(one.to_ndarray(), int) - other.to_ndarray())
            for one, other in [(before, after)]
        ]
        differs = planes[0][:64] > 0
        assert differs.any() == (3 <= number < 7)
        assert not differs[:, 60:].any()
        assert not differs[:8].any()


def test_a_restored_face_is_what_the_network_made(tmp_path, restore):
    source = films.make_film(tmp_path / "in.mp4", films.moving_face(3))
    restore(source, "out.mp4")
    before, after = films.read_planes(source), films.read_planes(tmp_path / "out.mp4")
    # The network halves what is above black (16).
    middle = np.s_[30:34, 28:34]
    assert (after[1][middle] - 16).mean() == pytest.approx(
        (before[1][middle] - 16).mean() / 2, abs=3
    )


@pytest.mark.skipif(
    not hasattr(av.VideoFrame, "color_trc"), reason="PyAV 16 does not tell the colours of a frame"
)
def test_ten_bits_and_colour_tags_and_pixel_aspect_stay(tmp_path, restore):
    def prepare(container, stream):
        context = stream.codec_context
        context.sample_aspect_ratio = Fraction(4, 3)
        context.color_primaries, context.color_trc, context.colorspace = 9, 14, 9
        context.color_range = 1
        container.metadata["title"] = "ten bits"
        stream.metadata["language"] = "fra"

    source = films.make_film(
        tmp_path / "in.mkv", films.plain(3), pix_fmt="yuv420p10le", prepare=prepare
    )
    restore(source, "out.mkv", crf=1)
    frame = films.read_frames(tmp_path / "out.mkv")[0]
    assert frame.format.name == "yuv420p10le"
    tags = frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range
    assert [int(tag) for tag in tags] == [9, 14, 9, 1]
    # More than 256 levels: nothing on the way had 8 bits.
    assert np.unique(films.read_planes(tmp_path / "out.mkv")[0] % 4).tolist() == [0, 1, 2, 3]
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert film.metadata["title"] == "ten bits"
        assert film.streams.video[0].metadata["language"] == "fra"


def test_full_range_stays_full_range(tmp_path, restore):
    def prepare(container, stream):
        stream.codec_context.color_range = 2

    pictures = [films.background()] * 3
    source = films.make_film(tmp_path / "in.mp4", pictures, pix_fmt="yuvj420p", prepare=prepare)
    restore(source, "out.mp4", **LOSSLESS)
    after = films.read_frames(tmp_path / "out.mp4")
    assert int(after[0].color_range) == 2
    assert change(films.read_planes(source), films.read_planes(tmp_path / "out.mp4")) == [0, 0, 0]


def test_a_cover_chapters_fonts_and_subtitles_stay_in_matroska(tmp_path, restore):
    def prepare(container, stream):
        container.add_attachment("font.ttf", "font/ttf", b"glyphs" * 9)
        container.set_chapters(
            [
                {
                    "id": 1, "start": 0, "end": 120, "time_base": Fraction(1, 1000),
                    "metadata": {"title": "one"},
                }
            ]
        )  # fmt: skip

    source = films.make_film(tmp_path / "in.mkv", films.plain(5), prepare=prepare)
    source = add_subtitles(source, tmp_path / "with.mkv", cover=True)
    restore(source, "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as film:
        kinds = sorted(stream.type for stream in film.streams)
        assert kinds == ["attachment", "subtitle", "video", "video"]
        cover = film.streams.video[1]
        assert cover.disposition & Disposition.attached_pic
        assert bytes(next(film.demux(cover))) == COVER
        assert film.streams.attachments[0].data == b"glyphs" * 9
        assert film.chapters()[0]["metadata"] == {"title": "one"}
        assert film.chapters()[0]["end"] == 120_000_000
    assert films.list_packets(tmp_path / "out.mkv", "subtitle") == [(0.12, b"hello")]


def add_subtitles(source, target, *, cover=False):
    """Write a copy of a film with one subtitle and perhaps a cover picture."""
    (target.parent / "text.srt").write_bytes(SUBTITLE)
    with (
        av.open(str(source)) as film,
        av.open(str(target.parent / "text.srt")) as text,
        av.open(str(target), "w") as made,
    ):
        streams = {
            stream.index: made.add_stream_from_template(stream, opaque=True)
            for stream in film.streams
            if stream.type != "attachment"
        }
        for stream in film.streams.attachments:
            made.add_attachment(stream.name, stream.mimetype, stream.data)
        made.set_chapters(film.chapters())
        words = made.add_stream_from_template(text.streams.subtitles[0], opaque=True)
        if cover:
            made.add_attachment("cover.png", "image/png", COVER)
        for container, choose in (
            (text, lambda p: words),
            (film, lambda p: streams[p.stream_index]),
        ):
            for packet in container.demux():
                if packet.size and packet.stream.type != "attachment":
                    packet.stream = choose(packet)
                    made.mux_one(packet)
    return target


def test_a_subtitle_that_mp4_cannot_hold_is_named_before_the_work(tmp_path, restore):
    source = films.make_film(tmp_path / "in.mkv", films.plain(3))
    source = add_subtitles(source, tmp_path / "with.mkv")
    with pytest.raises(ImageError, match=r"mp4 cannot hold stream 1 \(subtitle, s[a-z]+\).*\.mkv"):
        restore(source, "out.mp4")
    assert not list(tmp_path.glob("out*"))


def test_an_attachment_that_mp4_cannot_hold_is_said(tmp_path, restore):
    source = films.make_film(
        tmp_path / "in.mkv",
        films.plain(3),
        prepare=lambda container, stream: container.add_attachment("a.ttf", "font/ttf", b"glyphs"),
    )
    report = restore(source, "out.mp4")
    assert any("attachment" in notice and ".mp4" in notice for notice in report.notices)


def test_a_part_keeps_sound_and_picture_together(tmp_path, restore):
    prepare, finish = prepare_with_sound(0.8)
    source = films.make_film(tmp_path / "in.mp4", films.plain(20), prepare=prepare, finish=finish)
    report = restore(source, "out.mp4", start=0.25, end=0.6)
    assert report.frames == 8  # those shown at 0.28 … 0.56
    frames = films.read_frames(tmp_path / "out.mp4")
    assert float(frames[0].pts * frames[0].time_base) == 0
    given = {data: time for time, data in films.list_packets(source, "audio")}
    for time, data in films.list_packets(tmp_path / "out.mp4", "audio"):
        assert given[data] - 0.28 == pytest.approx(time, abs=0.001)
        assert 0.28 <= given[data] < 0.6
    before, after = films.read_planes(source)[7:15], films.read_planes(tmp_path / "out.mp4")
    assert max(float(np.abs(a - b)[:8].mean()) for a, b in zip(before, after, strict=True)) < 2


def test_no_sound_on_request(tmp_path, restore):
    prepare, finish = prepare_with_sound()
    source = films.make_film(tmp_path / "in.mp4", films.plain(3), prepare=prepare, finish=finish)
    restore(source, "out.mp4", audio=False)
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert [stream.type for stream in film.streams] == ["video"]


def test_frames_become_pictures(tmp_path, restore):
    from gpen_core import read_image

    source = films.make_film(tmp_path / "in.mp4", films.moving_face(4))
    restore(source, "pictures", frames=True)
    names = [path.name for path in sorted((tmp_path / "pictures").iterdir())]
    assert names == ["000001.png", "000002.png", "000003.png", "000004.png"]
    picture = read_image(tmp_path / "pictures" / "000004.png")
    assert picture.shape == (1, 3, 64, 96)
    assert float(picture[0, 0, 32, 33]) == pytest.approx(230 / 510, abs=0.03)
    assert not list(tmp_path.glob("*.parts"))


def test_one_frame_is_a_film(tmp_path, restore):
    source = films.make_film(tmp_path / "in.mp4", films.plain(1))
    assert restore(source, "out.mp4").frames == 1


def test_no_thread_outlives_an_error(tmp_path, restore):
    source = films.make_film(tmp_path / "in.mp4", films.moving_face(8))
    before = threading.active_count()

    def stop(stage, done, total):
        if stage == "frames":
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        restore(source, "out.mp4", on_progress=stop)
    assert threading.active_count() == before
    assert not (tmp_path / "out.mp4").exists()


def test_no_thread_decodes_while_pyav_logs_to_python(tmp_path, monkeypatch):
    """Such a thread waits for the interpreter's lock while closing waits for the thread.

    Importing torchvision 0.22 and older sets a level.
    """
    film = inspect_film(films.make_film(tmp_path / "in.mp4", films.plain(2)))
    types = []
    found = FilmReader._open_stream
    monkeypatch.setattr(
        FilmReader, "_open_stream", lambda *args: types.append(found(*args)) or types[-1]
    )
    try:
        for level in (None, av.logging.ERROR):  # another test may have imported torchvision
            av.logging.set_level(level)
            next(FilmReader(film).read_all())
    finally:
        av.logging.set_level(None)
    assert [str(stream.thread_type) for stream in types] == ["ThreadType.AUTO", "ThreadType.SLICE"]


def test_a_cover_stays_in_mp4_too(tmp_path, restore):
    source = films.make_film(tmp_path / "in.mkv", films.plain(3))
    source = add_subtitles(source, tmp_path / "with.mkv", cover=True)
    restore(source, "out.mp4", subtitles=False)
    restore("out.mp4", "again.mkv")
    for name in ("out.mp4", "again.mkv"):
        with av.open(str(tmp_path / name)) as film:
            cover = film.streams.video[1]
            assert cover.disposition & Disposition.attached_pic
            assert bytes(next(film.demux(cover))) == COVER
            assert len(list(film.decode(video=0))) == 3
