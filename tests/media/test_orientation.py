"""One rule reads the orientation of a file and rewrites it, whatever its type."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from odd_images import (
    add_jpeg_segment,
    add_png_chunks,
    describe_strip,
    encode,
    make_exif,
    make_tiff,
)
from PIL import Image

from gpen_core.media import read_picture, write_picture
from gpen_core.media.exif import PREFIX, find_orientation

TYPES = {
    "BYTE": (1, "B"),
    "SHORT": (3, "H"),
    "LONG": (4, "L"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "l"),
}
STORED = np.zeros((16, 24, 3), np.uint8)
STORED[:8, :12] = 250  # with orientation 6 this corner is seen at the top right


def orientation(name, number=6):
    kind, code = TYPES[name]
    return make_exif((274, kind, struct.pack("<" + code, number)))


def is_upright(path):
    picture = read_picture(path)
    seen = picture.pixels[0, 0]
    return picture.size == (16, 24) and seen[4, 12] > 0.9 and seen[4, 4] < 0.1


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_an_orientation_of_any_type_is_applied_once(tmp_path, name, suffix):
    block = orientation(name)
    source = tmp_path / f"in{suffix}"
    if suffix == ".jpg":
        data = add_jpeg_segment(encode(STORED, "JPEG", quality=98), 0xE1, PREFIX + block)
    elif suffix == ".png":
        data = add_png_chunks(encode(STORED, "PNG"), (b"eXIf", block))
    elif suffix == ".webp":
        data = encode(STORED, "WEBP", exif=PREFIX + block)
    else:
        data = make_tiff(describe_strip(STORED, 8), data=STORED.tobytes())
        kind, code = TYPES[name]
        entry = struct.pack("<HHL", 274, kind, 1) + struct.pack("<" + code, 6).ljust(4, b"\0")
        planar = struct.pack("<HHL", 279, 4, 1) + struct.pack("<L", STORED.nbytes)
        assert planar in data  # a length that no reader of one plain strip misses
        data = data.replace(planar, entry)
    source.write_bytes(data)
    assert is_upright(source)
    for out in (".jpg", ".png", ".tif", ".webp"):
        target = tmp_path / f"out{out}"
        write_picture(target, read_picture(source))
        assert is_upright(target)
        with Image.open(target) as seen_by_pillow:
            assert seen_by_pillow.getexif().get(274, 1) == 1
            assert seen_by_pillow.size == (16, 24)


@pytest.mark.parametrize("number", [0, 9, 300])
def test_an_impossible_orientation_is_ignored_and_stated_anew(tmp_path, number):
    block = orientation("SHORT", number)
    data = add_jpeg_segment(encode(STORED, "JPEG"), 0xE1, PREFIX + block)
    (tmp_path / "a.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.size == (24, 16)
    assert find_orientation(picture.metadata.update_exif((24, 16))) == 1


def test_the_subject_turns_and_grows_with_the_pixels(tmp_path):
    """A box at the upper left of a picture that is stored on its side."""
    area = struct.pack("<4H", 6, 4, 4, 2)  # centre, width, height
    block = make_exif(
        (274, 3, struct.pack("<H", 6)),
        inner=((37396, 3, area), (41492, 3, struct.pack("<2H", 6, 4))),
    )
    data = add_jpeg_segment(encode(STORED, "JPEG"), 0xE1, PREFIX + block)
    (tmp_path / "a.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "a.jpg")
    for size, expected in (((16, 24), (12, 6, 2, 4)), ((32, 48), (24, 12, 4, 8))):
        with_pixels = picture.metadata.update_exif(size)
        tags = Image.Exif()
        tags.load(PREFIX + with_pixels)
        inner = tags.get_ifd(34665)
        assert (tags[274], inner[37396], inner[41492]) == (1, expected, expected[:2])
