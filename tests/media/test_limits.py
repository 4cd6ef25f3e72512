"""Size is known and bounded before anything is allocated; Pillow's own limits are not touched."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from odd_images import describe_strip, encode, make_photograph, make_tiff
from PIL import Image, ImageFile

from gpen_core.errors import ImageError
from gpen_core.media import find_size, limits, read_picture

SAMPLES = make_photograph(40, 60)
DEEP_TIFF = make_tiff(
    describe_strip(SAMPLES.astype(np.uint16) * 257, 8),
    data=(SAMPLES.astype("<u2") * 257).tobytes(),
)
FILES = {
    kind: encode(SAMPLES, kind)
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "AVIF", "PPM", "JPEG2000", "WEBP")
}
FILES["16-bit TIFF"] = DEEP_TIFF
FILES["deflated TIFF"] = encode(SAMPLES, "TIFF", compression="tiff_adobe_deflate")


@pytest.mark.parametrize("name", FILES)
def test_a_large_picture_is_opened_only_when_allowed(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(Image, "open", lambda *words: pytest.fail("decides by its own limit"))
    (tmp_path / "a").write_bytes(FILES[name])
    with pytest.raises(ImageError, match=r"too large.*60 × 40.*memory.*--allow-large"):
        read_picture(tmp_path / "a")
    picture = read_picture(tmp_path / "a", allow_large=True)
    assert picture.size == find_size(tmp_path / "a") == (60, 40)
    assert Image.MAX_IMAGE_PIXELS == 1000
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    error = picture.pixels[0].movedim(0, -1).numpy() * 255 - SAMPLES
    assert abs(error).mean() < 8


def test_the_memory_that_a_picture_takes_is_told():
    told = limits.describe_memory((20_000, 15_000))
    assert told.startswith("300 megapixels (20000 × 15000); restoring it takes about 9.6 GB")
    assert "38.4 GB" in limits.describe_memory((20_000, 15_000), scale=2)


def make_png(width, height, bits=8, data=b""):
    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks
    )


def make_jpeg(width, height):
    jpeg = bytearray(encode(SAMPLES, "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", jpeg, at, height, width)
    return bytes(jpeg)


STRIP = {256: 9000, 257: 9000, 258: (8, 8, 8), 262: 2, 273: 8, 277: 3, 278: 9000, 284: 1}
SHARED = 4000  # strips that all name the same bytes


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", make_png(9000, 9000)),
        ("b.png", make_png(9000, 9000, 16)),
        ("a.jpg", make_jpeg(9000, 9000)),
        ("a.bmp", encode(SAMPLES, "BMP")[:18] + struct.pack("<ii", 9000, 9000)
         + encode(SAMPLES, "BMP")[26:900]),
        ("a.ppm", b"P6 9000 9000 255\n" + bytes(900)),
        ("a.tif", make_tiff(STRIP | {259: 1, 279: 900}, data=bytes(900))),
        ("b.tif", make_tiff(STRIP | {259: 8, 279: 900}, data=bytes(900))),
        (
            "c.tif",
            make_tiff(
                STRIP | {257: SHARED, 259: 8, 273: (8,) * SHARED, 278: 1, 279: (27,) * SHARED},
                data=zlib.compress(bytes(27_000)),
            ),
        ),
        ("a.gif", encode(SAMPLES[..., 0], "GIF")[:6] + struct.pack("<HH", 9000, 9000)
         + encode(SAMPLES[..., 0], "GIF")[10:]),
    ],
)  # fmt: skip
def test_a_header_may_not_promise_more_than_its_file_can_hold(tmp_path, monkeypatch, name, data):
    for module in ("PIL.Image.core.new", "numpy.zeros"):
        monkeypatch.setattr(module, lambda *words: pytest.fail("allocated"))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=r"promises 9000 × (9000|4000) px.*holds at most|cut off"):
        read_picture(tmp_path / name, allow_large=True)


def test_a_tiny_file_of_many_pixels_is_no_photograph(tmp_path):
    small = encode(SAMPLES, "WEBP")
    canvas = b"VP8X\x0a\0\0\0" + bytes(4) + (7999).to_bytes(3, "little") * 2
    (tmp_path / "a.webp").write_bytes(
        b"RIFF" + struct.pack("<I", len(small) + 10) + b"WEBP" + canvas + small[12:]
    )
    with pytest.raises(ImageError, match=r"is no photograph.*--allow-large"):
        read_picture(tmp_path / "a.webp")
    assert find_size(tmp_path / "a.webp") == (8000, 8000)


def test_a_picture_that_compresses_well_is_read(tmp_path):
    white = np.full((900, 1200, 3), 255, np.uint8)
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.gif", "GIF")):
        (tmp_path / name).write_bytes(encode(white, kind))
        assert read_picture(tmp_path / name).pixels.min() == 1
