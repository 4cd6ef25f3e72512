"""Damaged files give as much as they hold, and say how much is missing."""

from __future__ import annotations

import re
import zlib

import cv2
import numpy as np
import pytest
from odd_images import add_png_chunks, describe_strip, encode, make_photograph, make_tiff

from gpen_core.errors import ImageError
from gpen_core.media import read_image, read_picture

SAMPLES = make_photograph()
DEEP = SAMPLES.astype(np.uint16) * 257
HALF = len(SAMPLES) // 2


def read_damaged(path, data):
    """The levels [H, W, 3] of a damaged file, and the message about it."""
    path.write_bytes(data)
    messages = []
    picture = read_picture(path, on_damage=messages.append)
    assert picture.size == (96, 64)
    (message,) = messages
    assert message.startswith(f"{path} ")
    return (picture.pixels[0].movedim(0, -1) * 255).round().numpy().astype(int), message


def missing_percent(message):
    return int(re.search(r"(\d+) % of its rows are missing", message)[1])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("zeros", [0, 30_000])
def test_a_jpeg_without_an_end_is_read_as_far_as_it_goes(tmp_path, progressive, zeros):
    whole = encode(SAMPLES, "JPEG", quality=95, progressive=progressive)
    good = read_sound(tmp_path, whole)
    levels, message = read_damaged(tmp_path / "a.jpg", whole[:-2] + bytes(zeros))
    if progressive:
        assert "fine detail may be missing" in message
    else:
        assert "lacks its end marker, but no row is missing" in message
        assert np.array_equal(levels, good)
    cut = whole[: 600 + (len(whole) - 600) // 2] + bytes(zeros)
    levels, message = read_damaged(tmp_path / "b.jpg", cut)
    assert "is cut off" in message
    if not progressive:
        rows = round((1 - missing_percent(message) / 100) * 64)
        assert 24 <= rows <= 48
        kept = rows - 18  # the decoder's last blocks may be half guessed
        assert np.array_equal(levels[:kept], good[:kept])
        assert (levels[rows + 1 :, -1] == 128).all()


def read_sound(tmp_path, data):
    (tmp_path / "sound").write_bytes(data)
    image = read_image(tmp_path / "sound")
    return (image[0].movedim(0, -1) * 255).round().numpy().astype(int)


@pytest.mark.parametrize("samples", [SAMPLES, DEEP], ids=["8 bits", "16 bits"])
def test_a_png_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path, samples):
    whole = cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
    start = whole.index(b"IDAT") + 4
    levels, message = read_damaged(tmp_path / "a.png", whole[: start + (len(whole) - start) // 2])
    rows = round((1 - missing_percent(message) / 100) * 64)
    assert 8 < rows < 56
    assert np.array_equal(levels[: rows - 2], SAMPLES[: rows - 2])
    assert not levels[rows + 2 :].any()
    levels, message = read_damaged(tmp_path / "b.png", whole[:-12])
    assert "lacks its end marker, but no row is missing" in message
    assert np.array_equal(levels, SAMPLES)


def test_a_png_with_a_broken_byte_is_read_and_told(tmp_path):
    whole = bytearray(encode(SAMPLES, "PNG", compress_level=0))
    whole[whole.index(b"IDAT") + 5000] ^= 1
    levels, message = read_damaged(tmp_path / "a.png", bytes(whole))
    assert "some pixels may be wrong" in message
    assert (levels == SAMPLES).mean() > 0.9
    sound = bytearray(encode(SAMPLES, "PNG"))
    sound[sound.index(b"IEND") - 8] ^= 1  # in the checksum of the chunk before
    levels, message = read_damaged(tmp_path / "b.png", bytes(sound))
    assert "has wrong checksums, but all its pixels are right" in message
    assert np.array_equal(levels, SAMPLES)


def test_a_broken_chunk_beside_the_pixels_does_no_harm(tmp_path):
    png = add_png_chunks(encode(SAMPLES, "PNG"), (b"tEXt", b"Title\0a"))
    at = png.index(b"Title")
    (tmp_path / "a.png").write_bytes(png[:at] + b"x" + png[at + 1 :])
    picture = read_picture(tmp_path / "a.png", strict=True)
    assert picture.metadata.png_texts == ()


@pytest.mark.parametrize("samples", [SAMPLES, DEEP], ids=["8 bits", "16 bits"])
def test_a_tiff_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path, samples):
    directory = describe_strip(samples, 0)
    head = make_tiff(directory)
    head = make_tiff(directory | {273: len(head)})
    cut = head + samples.tobytes()[: samples.nbytes // 2]
    levels, message = read_damaged(tmp_path / "a.tif", cut)
    assert "the last 50 % of its rows are missing and stay black" in message
    assert np.array_equal(levels[:HALF], SAMPLES[:HALF])
    assert not levels[HALF:].any()


def test_a_tiff_in_strips_loses_those_that_are_cut_off(tmp_path):
    strips = [zlib.compress(SAMPLES[row : row + 8].tobytes()) for row in range(0, 64, 8)]
    entries = describe_strip(SAMPLES, 0) | {259: 8, 278: 8, 279: tuple(map(len, strips))}
    length = len(make_tiff(entries | {273: (0,) * 8}))
    starts = tuple(length + sum(map(len, strips[:i])) for i in range(8))
    whole = make_tiff(entries | {273: starts}) + b"".join(strips)
    levels, message = read_damaged(tmp_path / "a.tif", whole[: starts[6] + 3])
    assert "the last 25 % of its rows are missing" in message
    assert np.array_equal(levels[:48], SAMPLES[:48])


def test_bmp_and_ppm_that_are_cut_off_are_read_as_far_as_they_go(tmp_path):
    bmp = encode(SAMPLES, "BMP")
    levels, message = read_damaged(tmp_path / "a.bmp", bmp[: 54 + 3 * 96 * 32])
    assert "the first 50 % of its rows are missing" in message  # the last row stands first
    assert np.array_equal(levels[HALF:], SAMPLES[HALF:])
    ppm = encode(SAMPLES, "PPM")
    levels, message = read_damaged(tmp_path / "a.ppm", ppm[: -3 * 96 * 16])
    assert "the last 25 % of its rows are missing" in message
    assert np.array_equal(levels[:48], SAMPLES[:48])


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_what_cannot_be_decoded_in_part_is_called_cut_off(tmp_path, kind):
    whole = encode(SAMPLES, kind)
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"is cut off: .*should have"):
        read_picture(tmp_path / "a", on_damage=print)


def test_strict_readers_refuse_damage_and_others_are_warned(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(SAMPLES, "JPEG")[:-2])
    with pytest.warns(UserWarning, match=r"a\.jpg lacks its end marker"):
        assert read_image(path).shape == (1, 3, 64, 96)
    for options, way in (({}, "on_damage"), ({"strict": True, "on_damage": print}, "--strict")):
        with pytest.raises(ImageError, match=rf"lacks its end marker.*{way}"):
            read_picture(path, **options)
    with pytest.raises(ImageError, match="lacks its end marker"):
        read_image(path, strict=True)


def test_a_jpeg_that_ends_before_its_pixels_is_damaged(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(SAMPLES, "JPEG")[:200])
    with pytest.raises(ImageError, match="ends before its pixels begin"):
        read_picture(tmp_path / "a.jpg", on_damage=print)


OPTIONS = [{}, {"optimize": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("start", [0.6, 0.9])
def test_a_jpeg_with_a_hole_of_zero_bytes_is_damaged(tmp_path, options, start):
    whole = encode(SAMPLES, "JPEG", quality=95, **options)
    at = round(start * len(whole))
    hole = whole[:at] + bytes(80) + whole[at + 80 :]
    _, message = read_damaged(tmp_path / "a.jpg", hole)
    found = re.search(r"has a hole of (\d+) zero bytes at (\d+) % of its data", message)
    assert 80 <= int(found[1]) <= 82
    assert int(found[2]) == pytest.approx(100 * start, abs=1)
    with pytest.raises(ImageError, match="hole"):
        read_picture(tmp_path / "a.jpg", strict=True)


def test_a_jpeg_with_markers_in_its_pixels_or_lost_restart_markers_is_damaged(tmp_path):
    whole = encode(SAMPLES, "JPEG", quality=90, restart_marker_blocks=4)
    middle = len(whole) * 2 // 3
    _, message = read_damaged(tmp_path / "a.jpg", whole[:middle] + b"\xff\x33" + whole[middle:])
    assert "has wrong bytes in its pixels" in message
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
    assert len(markers) > 4
    for first, last in ((2, 3), (-1, None)):
        end = markers[last] if last else len(whole) - 2
        _, message = read_damaged(tmp_path / "a.jpg", whole[: markers[first]] + whole[end:])
        assert "lacks pixels at" in message


FLAT = np.zeros((400, 600, 3), np.uint8)
HALF_FLAT = np.concatenate([FLAT[:96, :, :], np.tile(SAMPLES[:64, :60], (2, 10, 1))])


@pytest.mark.parametrize("samples", [FLAT, FLAT[..., 0], HALF_FLAT], ids=["black", "grey", "half"])
@pytest.mark.parametrize("quality", [5, 75, 100])
def test_a_flat_picture_is_no_hole(tmp_path, samples, quality):
    for options in (*OPTIONS[:2], {"progressive": True}, {"restart_marker_blocks": 3}):
        (tmp_path / "a.jpg").write_bytes(encode(samples, "JPEG", **{"quality": quality, **options}))
        read_picture(tmp_path / "a.jpg", strict=True)
