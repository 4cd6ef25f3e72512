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
    for options in ({}, {"strict": True, "on_damage": print}):
        with pytest.raises(ImageError, match=r"lacks its end marker.*strict"):
            read_picture(path, **options)
    with pytest.raises(ImageError, match="lacks its end marker"):
        read_image(path, strict=True)


def test_a_jpeg_that_ends_before_its_pixels_is_damaged(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(SAMPLES, "JPEG")[:200])
    with pytest.raises(ImageError, match="ends before its pixels begin"):
        read_picture(tmp_path / "a.jpg", on_damage=print)
