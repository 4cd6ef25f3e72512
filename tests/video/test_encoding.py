"""Encoders and sizes that have broken other programs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import films
import numpy as np
import pytest

from gpen_core.errors import ImageError

ROTATED = Path(__file__).parent / "rotated.mp4"
"""48×32, three frames, a face left of the middle; shown turned by 90° anticlockwise, pixels 4:3.
Written by `make_film` with `set_display_rotation(90)`, which PyAV 16 and 17 lack."""


def test_a_rotated_film_is_upright_once(tmp_path, restore):
    report = restore(ROTATED, "out.mp4")
    assert report.with_faces == 3
    frame = films.read_frames(tmp_path / "out.mp4")[0]
    assert (frame.width, frame.height, frame.rotation) == (32, 48, 0)
    before, after = films.read_planes(ROTATED)[0], films.read_planes(tmp_path / "out.mp4")[0]
    turned = np.rot90(before)
    assert np.abs(after - turned)[:20].mean() < 4
    assert np.abs(after - turned)[32:40, 12:20].mean() > 10  # the face, restored
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize(("width", "height"), [(97, 63), (97, 64), (96, 63)])
def test_odd_sizes_get_full_chroma(tmp_path, restore, width, height):
    pictures = [films.background(width, height)] * 2
    source = films.make_film(tmp_path / "in.mkv", pictures, codec="ffv1")
    restore(source, "out.mp4", crf=1)
    frame = films.read_frames(tmp_path / "out.mp4")[0]
    assert (frame.width, frame.height, frame.format.name) == (width, height, "yuv444p")
    before, after = films.read_planes(source), films.read_planes(tmp_path / "out.mp4")
    assert np.abs(before[0] - after[0])[:, 70:].max() <= 2


def test_an_odd_size_repeats_its_edge_on_request(tmp_path, restore):
    pictures = [films.background(97, 63)] * 2
    source = films.make_film(tmp_path / "in.mkv", pictures, codec="ffv1")
    report = restore(source, "out.mp4", pix_fmt="yuv420p", crf=1)
    assert any("97×63 is repeated" in notice for notice in report.notices)
    before, after = films.read_planes(source)[0], films.read_planes(tmp_path / "out.mp4")[0]
    assert after.shape == (64, 98)
    assert np.abs(np.pad(before, ((0, 1), (0, 1)), mode="edge") - after)[:, 70:].max() <= 2


@pytest.mark.parametrize("size", [(16, 16), (2, 2), (4, 200)])
def test_tiny_films(tmp_path, restore, size):
    pictures = [films.background(*size)] * 3
    source = films.make_film(tmp_path / "in.mkv", pictures, codec="ffv1")
    assert restore(source, "out.mp4").frames == 3
    frame = films.read_frames(tmp_path / "out.mp4")[0]
    assert (frame.width, frame.height) == size


def test_the_kind_of_a_source_frame_is_no_order_for_the_encoder(tmp_path, restore):
    options = {"preset": "ultrafast", "g": "1"}  # every frame is an I frame
    source = films.make_film(tmp_path / "in.mp4", films.plain(12), options=options)
    assert {frame.pict_type for frame in films.read_frames(source)} == {1}
    restore(source, "out.mp4", preset="medium")
    kinds = [frame.pict_type for frame in films.read_frames(tmp_path / "out.mp4")]
    assert kinds[0] == 1
    assert set(kinds[1:]) <= {2, 3}


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_reordered_frames_are_all_there_after_joining(tmp_path, restore, suffix):
    options = {"preset": "medium", "bf": "3", "crf": "8"}
    source = films.make_film(tmp_path / "in.mp4", films.plain(17), options=options)
    restore(source, f"out{suffix}", preset="slow")
    after = films.read_frames(tmp_path / f"out{suffix}")
    assert any(frame.pict_type == 3 for frame in after)  # B frames
    times = [frame.pts * frame.time_base for frame in after]
    assert np.diff(times).astype(float) == pytest.approx(0.04)
    assert len(after) == 17
    for before, after in zip(
        films.read_planes(source), films.read_planes(tmp_path / f"out{suffix}"), strict=True
    ):
        assert abs(before.mean() - after.mean()) < 0.7


@pytest.mark.parametrize(
    ("codec", "target", "name"),
    [("mpeg4", "out.mp4", "mpeg4"), ("ffv1", "out.mkv", "ffv1"), ("auto", "out.webm", "vp9"),
     ("hevc", "out.mov", "hevc")],
)  # fmt: skip
def test_other_codecs(tmp_path, restore, codec, target, name):
    source = films.make_film(tmp_path / "in.mp4", films.plain(5))
    restore(source, target, codec=codec)
    with av.open(str(tmp_path / target)) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name in (name, f"lib{name}", "libvpx-vp9")
        times = [float(frame.pts * frame.time_base) for frame in film.decode(stream)]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=0.001)
    before, after = films.read_planes(source), films.read_planes(tmp_path / target)
    assert np.abs(before[2] - after[2])[:, 70:].mean() < 2


def test_sound_without_a_decoder_is_named(tmp_path, restore):
    """PyAV cannot copy it. Films of newer phones have such a stream beside an ordinary one."""
    writers = []

    def prepare(container, stream):
        writers.extend([films.add_sound(container, 0.1), films.add_sound(container, 0.1, "mp2")])

    source = films.make_film(
        tmp_path / "in.mov",
        films.plain(3),
        prepare=prepare,
        finish=lambda container: [write(container) for write in writers],
    )
    # Call the AAC MPEG-H, which FFmpeg knows by name only.
    data = source.read_bytes().replace(b"mp4a", b"mhm1").replace(b"esds", b"free")
    source.write_bytes(data)
    with av.open(str(source)) as film:
        assert [stream.codec_context is None for stream in film.streams] == [False, True, False]
    report = restore(source, "out.mov")
    assert any("stream 1 (audio" in notice for notice in report.notices)
    assert films.list_packets(tmp_path / "out.mov", "audio")
    source.write_bytes(data.replace(b".mp2", b"mhm1"))
    with pytest.raises(ImageError, match=r"cannot copy stream 1.*--audio none"):
        restore(source, "silent.mov")
