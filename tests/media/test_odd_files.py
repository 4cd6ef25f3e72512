"""Odd and damaged image files: we read them as their tags say or refuse them by name."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from gpen_core.errors import ImageError
from gpen_core.media import read_image, read_picture, tiff_tags, write_picture


def levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def write_tiff(path, samples, **tags):
    """Write an uncompressed little-endian TIFF of samples [H, W] or [H, W, C], with tags t258=…

    A tag's value is a number or a tuple of numbers.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    stated = {256: width, 257: height, 259: 1, 273: 8, 277: count, 278: height,
              279: samples.nbytes, 284: 1, **{int(k[1:]): v for k, v in tags.items()}}  # fmt: skip
    entries = {
        tag: tiff_tags.pack_entry("<", tiff_tags.LONG, *np.atleast_1d(value))
        for tag, value in stated.items()
    }
    entries[258] = tiff_tags.pack_entry("<", tiff_tags.SHORT, *[8 * samples.itemsize] * count)
    start = 8 + samples.nbytes
    directory = tiff_tags.pack_directory("<", entries, start)
    path.write_bytes(b"II*\0" + struct.pack("<L", start) + samples.tobytes() + directory)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_with_zero_as_white_is_not_read_as_a_negative(tmp_path, dtype):
    top = np.iinfo(dtype).max
    write_tiff(tmp_path / "a.tif", np.array([[0, top // 5, top]], dtype), t262=0)
    assert read_image(tmp_path / "a.tif")[0, 0, 0] == pytest.approx([1, 0.8, 0], abs=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_alpha_in_a_tiff_is_made_straight(tmp_path, dtype):
    half, quarter = (np.iinfo(dtype).max // part for part in (2, 4))
    samples = np.array([[[quarter, half, 0, half], [0, 0, 0, 0]]], dtype)
    write_tiff(tmp_path / "a.tif", samples, t262=2, t338=1)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels[0, :, 0, 0] == pytest.approx([0.5, 1, 0], abs=0.01)
    assert picture.alpha[0, 0, 0] == pytest.approx([0.5, 0], abs=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_saved_selection_in_a_tiff_is_not_read_as_alpha(tmp_path, dtype):
    samples = levels(3, 5, 4).astype(dtype)
    write_tiff(tmp_path / "a.tif", samples, t262=2, t338=0)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is None
    top = np.iinfo(dtype).max
    assert (picture.pixels[0].movedim(0, -1) * top).round().numpy().astype(dtype) == pytest.approx(
        samples[..., :3]
    )


def test_a_sixteen_bit_tiff_with_separate_channels_is_read(tmp_path):
    samples = levels(4, 6, 3).astype(np.uint16) * 257
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1)).reshape(4, 6, 3)
    starts, lengths = (8, 56, 104), (48, 48, 48)
    write_tiff(tmp_path / "a.tif", planes, t262=2, t284=2, t273=starts, t279=lengths)
    image = read_image(tmp_path / "a.tif")
    assert (image[0].movedim(0, -1) * 65535).round().numpy() == pytest.approx(samples)
    grey = samples[..., 0]
    write_tiff(
        tmp_path / "g.tif", grey, t262=1, t284=2
    )  # with one channel, planar and interleaved are the same
    assert (read_image(tmp_path / "g.tif")[0, 0] * 65535).round().numpy() == pytest.approx(grey)


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_a_grey_png_with_one_transparent_level_keeps_its_alpha(tmp_path, mode):
    white = 65535 if mode == "I;16" else 255
    samples = np.array([[0, white], [white, white]], np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(samples)
    (image.convert("1") if mode == "1" else image).save(tmp_path / "a.png", transparency=0)
    picture = read_picture(tmp_path / "a.png")
    assert picture.channels == 1
    assert picture.alpha[0, 0].tolist() == [[0, 1], [1, 1]]
    with pytest.raises(ImageError, match="no transparency"):
        write_picture(tmp_path / "a.jpg", picture)


def test_damage_is_reported_whatever_the_decoder_raises(tmp_path):
    avif, tiff = io.BytesIO(), io.BytesIO()
    Image.fromarray(levels(64, 64, 3)).save(avif, "AVIF")
    Image.fromarray(levels(64, 64, 3)).save(tiff, "TIFF")
    damaged = []
    for start in range(0, len(avif.getvalue()), 32):
        holed = bytearray(avif.getvalue())
        holed[start : start + 16] = bytes(len(holed[start : start + 16]))
        (tmp_path / "a.avif").write_bytes(holed)
        try:
            read_image(tmp_path / "a.avif")
        except ImageError as error:
            damaged.append(str(error))
    assert any("damaged" in message for message in damaged)
    widthless = tiff.getvalue()
    for kind in (3, 4):  # SHORT or LONG
        widthless = widthless.replace(struct.pack("<HH", 256, kind), struct.pack("<HH", 255, kind))
    (tmp_path / "a.tif").write_bytes(widthless)
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dots", [(0, 0), (2**32 - 1, 1), (70_000, 1), (0, 1)])
def test_an_impossible_resolution_or_profile_is_dropped(tmp_path, dots):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282] = tags[283] = TiffImagePlugin.IFDRational(*dots)
    tags[296], tags[34675], tags.tagtype[34675] = 2, "text", 2
    Image.fromarray(levels(8, 8, 3)).save(tmp_path / "in.tif", tiffinfo=tags)
    picture = read_picture(tmp_path / "in.tif")
    assert (picture.metadata.dpi, picture.metadata.icc) == (None, b"")
    for suffix in (".tif", ".png", ".jpg", ".bmp", ".webp"):
        write_picture(tmp_path / f"out{suffix}", picture)
        assert read_picture(tmp_path / f"out{suffix}").size == (8, 8)


def test_the_thumbnail_of_the_old_picture_is_unlinked(tmp_path):
    small = io.BytesIO()
    Image.new("RGB", (16, 8)).save(small, "JPEG")
    pack, long = tiff_tags.pack_entry, tiff_tags.LONG
    first = tiff_tags.pack_directory("<", {274: pack("<", tiff_tags.SHORT, 6)}, 8)
    at = 8 + len(first)
    entries = {513: pack("<", long, at + 30), 514: pack("<", long, len(small.getvalue()))}
    second = tiff_tags.pack_directory("<", entries, at)
    exif = b"II*\0" + struct.pack("<L", 8) + first[:-4] + struct.pack("<L", at) + second
    Image.fromarray(levels(8, 16, 3)).save(
        tmp_path / "in.jpg", exif=b"Exif\0\0" + exif + small.getvalue()
    )
    with Image.open(tmp_path / "in.jpg") as before:
        assert before.getexif().get_ifd(ExifTags.IFD.IFD1)
    for suffix in (".jpg", ".tif"):
        write_picture(tmp_path / f"out{suffix}", read_picture(tmp_path / "in.jpg"))
        with Image.open(tmp_path / f"out{suffix}") as after:
            assert after.size == (8, 16)
            assert not after.getexif().get_ifd(ExifTags.IFD.IFD1)
