"""A file's kind is told by its first bytes; what is no picture is named, and never opened."""

from __future__ import annotations

import os
import struct
import sys

import numpy as np
import pytest
from odd_images import describe_strip, encode, make_photograph, make_tiff
from PIL import EpsImagePlugin, Image

from gpen_core.errors import ImageError
from gpen_core.media import read_image, read_picture

SAMPLES = make_photograph(24, 32)
SMALL = SAMPLES[::2, ::2].copy()
FTYP = struct.pack(">I", 24)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(40), "is PostScript"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"),
        (b"\xff\x0a" + bytes(40), "is JPEG XL"),
        (FTYP + b"ftypisom\0\0\2\0isommp42", "is a film"),
        (FTYP + b"ftypqt  \0\0\2\0qt  " + bytes(4), "is a film"),
        (b"\x1aE\xdf\xa3" + bytes(40), "is a film"),
        (b"RIFF\x10\0\0\0AVI LIST", "is a film"),
        (b"FUJIFILMCCD-RAW 0201", "is a camera raw file"),
        (b"IIU\0\x18\0\0\0", "is a camera raw file"),
        (b"IIRO\x08\0\0\0", "is a camera raw file"),
        (FTYP + b"ftypcrx \0\0\0\1crx isom", "is a camera raw file"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera raw file"),
        (b"FOVb" + bytes(40), "is a camera raw file"),
        (b"no picture", "is not an image that can be read"),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_other_files_are_named_and_refused(tmp_path, monkeypatch, start, message, suffix):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *words: pytest.fail("ran"))
    monkeypatch.setattr(Image, "open", lambda *words, **options: pytest.fail("opened"))
    (tmp_path / f"a{suffix}").write_bytes(start)
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF", "PPM"])
def test_a_picture_is_read_whatever_its_name(tmp_path, kind):
    (tmp_path / "a.tmp").write_bytes(encode(SAMPLES, kind))
    image = read_image(tmp_path / "a.tmp")
    assert image.shape == (1, 3, 24, 32)
    error = (image[0].movedim(0, -1) * 255).numpy() - SAMPLES
    assert abs(error).mean() < 8


def test_targa_and_jpeg_2000_are_read(tmp_path):
    for name, kind in (("a.tga", "TGA"), ("a.jp2", "JPEG2000")):
        (tmp_path / name).write_bytes(encode(SAMPLES, kind))
        image = read_image(tmp_path / name)
        assert np.array_equal((image[0].movedim(0, -1) * 255).round().numpy(), SAMPLES)


def test_heic_needs_its_package_and_says_so(tmp_path, monkeypatch):
    from gpen_core.media import kinds

    monkeypatch.setattr(kinds.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.heic").write_bytes(FTYP + b"ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(ImageError, match=r'is HEIC.*pip install "gpen-restore\[heif\]"'):
        read_image(tmp_path / "a.heic")


def test_heic_is_read_where_its_package_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install pillow-heif to run this")
    exif = Image.Exif()
    exif[274], exif[315] = 6, "Zoe"
    heif = pillow_heif.from_pillow(Image.fromarray(SAMPLES))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    picture = read_picture(tmp_path / "a.heic")
    assert picture.size == (24, 32)  # upright once
    assert picture.metadata.orientation == 1
    assert b"Zoe" in picture.metadata.exif


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs; Linux and macOS do")
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "b.jpg")
    for name, message in (("a.jpg", "no regular file"), ("b.jpg", "cannot be read")):
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)


def make_raw(**main):
    """A TIFF as cameras write raws: a thumbnail first, the sensor's values in a SubIFD."""
    sensor = describe_strip(SAMPLES[..., 0], 8, t262=32803, t254=0)
    at = len(make_tiff(describe_strip(SMALL, 0, t254=1, t330=0, **main)))
    data = make_tiff(describe_strip(SMALL, 0, t254=1, t330=at, **main), data=b"")
    below = make_tiff(sensor)  # its directory, whose offsets matter to nobody
    return data + below[8:]


def test_a_camera_raw_is_refused_by_its_entries(tmp_path):
    raws = {
        "dng.dng": make_tiff(describe_strip(SMALL, 8, t50706=1, t254=1), data=SMALL.tobytes()),
        "dng.tif": make_tiff(describe_strip(SMALL, 8, t50706=1, t254=1), data=SMALL.tobytes()),
        "nef.tif": make_raw(),
        "cfa.tif": make_tiff(describe_strip(SAMPLES[..., 0], 8, t262=32803)),
        "arw.tif": make_tiff(describe_strip(SAMPLES[..., 0], 8, t259=32767)),
        "plain.nef": encode(SAMPLES, "TIFF"),
    }
    for name, data in raws.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=f"{name} is a camera raw file.*darktable"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("marks", [{"t254": 1}, {"t255": 2}, {"t254": 4}])
@pytest.mark.parametrize("first", [0, 1])
def test_reduced_copies_in_a_tiff_are_no_pages(tmp_path, marks, first):
    data = SAMPLES.tobytes() + SMALL.tobytes()
    directories = [
        describe_strip(SAMPLES, 8), describe_strip(SMALL, 8 + SAMPLES.nbytes, **marks),
    ]  # fmt: skip
    (tmp_path / "a.tif").write_bytes(make_tiff(*directories, data=data, first=first))
    picture = read_picture(tmp_path / "a.tif")
    assert picture.size == (32, 24)
    assert np.array_equal((picture.pixels[0].movedim(0, -1) * 255).round().numpy(), SAMPLES)
    assert picture.lost == ("the thumbnails or reduced copies of a TIFF",)


def test_a_reduced_copy_is_never_taken_for_the_picture(tmp_path):
    small = describe_strip(SMALL, 8, t254=1)
    (tmp_path / "a.tif").write_bytes(make_tiff(small, small, data=SMALL.tobytes()))
    with pytest.raises(ImageError, match="only reduced copies"):
        read_image(tmp_path / "a.tif")
    pages = describe_strip(SMALL, 8)
    (tmp_path / "b.tif").write_bytes(make_tiff(pages, pages, small, data=SMALL.tobytes()))
    with pytest.raises(ImageError, match="holds 2 frames or pages"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_with_alpha_or_in_tiles_are_read(tmp_path, predictor, order):
    tifffile = pytest.importorskip("tifffile", reason="pip install tifffile to run this")
    deep = np.random.default_rng(3).integers(0, 65536, (40, 52, 2), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", deep, photometric="minisblack", extrasamples=["unassalpha"],
        planarconfig="contig", byteorder=order,
        compression="zlib" if predictor == 2 else None, predictor=predictor == 2,
        tile=(16, 32) if predictor == 2 else None,
    )  # fmt: skip
    picture = read_picture(tmp_path / "a.tif")
    assert picture.bits == 16
    for plane, read in ((0, picture.pixels[0, 0]), (1, picture.alpha[0, 0])):
        assert np.array_equal((read * 65535).round().numpy(), deep[..., plane])


def test_bmp_bit_fields_of_any_width_are_read(tmp_path):
    masks = (0x3FF00000, 0x000FFC00, 0x000003FF)  # ten bits each
    pixels = sum(
        (SAMPLES[::-1, :, c].astype(np.uint32) * 1023 // 255) << shift
        for c, shift in enumerate((20, 10, 0))
    )
    header = struct.pack("<IiiHHIIiiII", 40, 32, 24, 1, 32, 3, 0, 0, 0, 0, 0)
    start = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 66)
    data = start + header + struct.pack("<3I", *masks) + pixels.astype("<u4").tobytes()
    (tmp_path / "a.bmp").write_bytes(data)
    levels = (read_image(tmp_path / "a.bmp")[0].movedim(0, -1) * 255).round().numpy()
    assert abs(levels - SAMPLES).max() <= 1
