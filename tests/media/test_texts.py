"""Captions, keywords, comments and texts are kept, and what is lost is named."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from odd_images import (
    add_jpeg_segment,
    add_png_chunks,
    describe_strip,
    encode,
    make_photograph,
    make_tiff,
)
from PIL import Image, IptcImagePlugin, PngImagePlugin

from gpen_core.media import Metadata, Picture, find_losses, read_picture, write_picture
from gpen_core.media.tiff_tags import Entry, pack_directory

SAMPLES = make_photograph(16, 24)
IIM = b"\x1c\x02\x19\0\x07wedding\x1c\x02\x78\0\x0bZo\xc3\xab, 1952!"
RESOURCES = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IIM)) + IIM + b"\0" * (len(IIM) % 2)
THUMBNAIL = b"8BIM\x04\x0c\0\0\0\0\0\x04abcd"
PARAMETERS = b"parameters\0a photo, Steps: 20"


def captions(path):
    with Image.open(path) as image:
        image.load()
        return IptcImagePlugin.getiptcinfo(image)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_is_kept_and_the_old_thumbnail_is_not(tmp_path, suffix):
    data = add_jpeg_segment(
        encode(SAMPLES, "JPEG"), 0xED, b"Photoshop 3.0\0" + THUMBNAIL + RESOURCES
    )
    (tmp_path / "in.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "in.jpg")
    write_picture(tmp_path / f"out{suffix}", picture)
    assert captions(tmp_path / f"out{suffix}")[2, 25] == b"wedding"
    again = read_picture(tmp_path / f"out{suffix}")
    assert again.metadata.photoshop == RESOURCES
    write_picture(tmp_path / "twice.jpg", again)
    assert captions(tmp_path / "twice.jpg")[2, 120] == b"Zo\xc3\xab, 1952!"
    assert b"abcd" not in (tmp_path / f"out{suffix}").read_bytes()


def test_iptc_survives_a_png_and_a_tiff_whose_bytes_were_swapped(tmp_path):
    picture = Picture(torch.rand(1, 3, 8, 8), metadata=Metadata(photoshop=RESOURCES))
    write_picture(tmp_path / "a.png", picture)
    assert read_picture(tmp_path / "a.png").metadata.photoshop == RESOURCES
    padded = IIM.ljust(-(-len(IIM) // 4) * 4, b"\0")
    words = struct.unpack(f">{len(padded) // 4}L", padded)
    entries = describe_strip(SAMPLES, 8) | {33723: words}
    (tmp_path / "a.tif").write_bytes(make_tiff(entries, data=SAMPLES.tobytes()))
    assert IIM in read_picture(tmp_path / "a.tif").metadata.photoshop


def test_a_jpegs_comments_are_kept_in_a_jpeg(tmp_path):
    data = encode(SAMPLES, "JPEG")
    for comment in (b"second", "Zoë".encode()):
        data = add_jpeg_segment(data, 0xFE, comment)
    (tmp_path / "in.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "in.jpg")
    write_picture(tmp_path / "out.jpg", picture)
    assert read_picture(tmp_path / "out.jpg").metadata.comments == ("Zoë".encode(), b"second")
    assert find_losses(tmp_path / "out.jpg", picture) == []
    assert find_losses(tmp_path / "out.png", picture) == ["a JPEG's comments (not in PNG)"]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_pngs_texts_are_kept_in_a_png(tmp_path, bits):
    compressed = b"prompt\0\0" + zlib.compress(b'{"3": {}}')
    international = b"workflow\0\0\0\0\0" + "{„ü“}".encode()
    chunks = (b"tEXt", PARAMETERS), (b"zTXt", compressed), (b"iTXt", international)
    (tmp_path / "in.png").write_bytes(add_png_chunks(encode(SAMPLES, "PNG"), *chunks))
    picture = read_picture(tmp_path / "in.png")
    picture = Picture(picture.pixels, bits=bits, metadata=picture.metadata)
    write_picture(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as written:
        assert written.text == {
            "parameters": "a photo, Steps: 20", "prompt": '{"3": {}}', "workflow": "{„ü“}",
        }  # fmt: skip
    assert find_losses(tmp_path / "out.png", picture) == []
    assert "a PNG's texts (not in JPEG)" in find_losses(tmp_path / "a.jpg", picture)


def test_a_text_that_is_huge_when_inflated_is_kept_and_not_inflated(tmp_path):
    bomb = b"parameters\0\0" + zlib.compress(bytes(20_000_000), 9)
    (tmp_path / "in.png").write_bytes(add_png_chunks(encode(SAMPLES, "PNG"), (b"zTXt", bomb)))
    before = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    picture = read_picture(tmp_path / "in.png")
    assert picture.metadata.png_texts == ((b"zTXt", bomb),)
    write_picture(tmp_path / "out.png", picture)
    assert bomb in (tmp_path / "out.png").read_bytes()
    assert (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY) == before


def test_exif_in_a_pngs_text_turns_the_picture_and_becomes_a_chunk(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    digits = exif.tobytes().hex().encode()
    text = b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(digits) // 2, digits)
    (tmp_path / "in.png").write_bytes(add_png_chunks(encode(SAMPLES, "PNG"), (b"tEXt", text)))
    picture = read_picture(tmp_path / "in.png")
    assert picture.size == (16, 24)
    write_picture(tmp_path / "out.png", picture)
    assert read_picture(tmp_path / "out.png").size == (16, 24)
    assert b"Raw profile" not in (tmp_path / "out.png").read_bytes()


def test_the_texts_of_a_big_tiff_are_kept(tmp_path):
    """BigTIFF: 64-bit offsets, entries of 20 bytes."""
    values = {305: (2, b"darktable\0"), 315: (2, "Zoë\0".encode()), 270: (2, b"a" * 30 + b"\0")}
    numbers = {256: 24, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 278: 16, 279: 384}
    rows, body = [], bytearray(b"II+\0\x08\0\0\0" + bytes(8) + SAMPLES[..., 0].tobytes())
    for tag, number in {**numbers, 273: 16}.items():
        rows.append((tag, 16, 1, struct.pack("<Q", number)))
    for tag, (kind, value) in values.items():
        place = value.ljust(8, b"\0") if len(value) <= 8 else struct.pack("<Q", len(body))
        body += value if len(value) > 8 else b""
        rows.append((tag, kind, len(value), place))
    struct.pack_into("<Q", body, 8, len(body))
    body += struct.pack("<Q", len(rows))
    for tag, kind, count, place in sorted(rows):
        body += struct.pack("<HHQ", tag, kind, count) + place
    (tmp_path / "in.tif").write_bytes(bytes(body) + bytes(8))
    picture = read_picture(tmp_path / "in.tif")
    assert np.array_equal((picture.pixels[0, 0] * 255).round().numpy(), SAMPLES[..., 0])
    write_picture(tmp_path / "out.tif", picture)
    with Image.open(tmp_path / "out.tif") as written:
        assert written.tag_v2[305] == "darktable"
        assert written.tag_v2[315].encode("latin-1").decode() == "Zoë"
        assert len(written.tag_v2[270]) == 30


def test_what_no_result_keeps_is_named(tmp_path):
    film = struct.pack(">I", 24) + b"ftypmp42" + bytes(40)
    second = encode(SAMPLES, "JPEG")
    whole = encode(SAMPLES, "JPEG")
    cases = {
        "a.jpg": (whole + film, "the film of a motion photo"),
        "b.jpg": (whole + second, "further pictures behind the first one"),
        "c.jpg": (add_jpeg_segment(whole, 0xEB, b"JP\0\1 jumb c2pa"), "content credentials"),
        "d.jpg": (add_jpeg_segment(whole, 0xE3, b"Meta\0"), "the JPEG segment APP3"),
        "e.png": (
            add_png_chunks(encode(SAMPLES, "PNG"), (b"caBX", b"x")), "content credentials",
        ),
        "f.tif": (
            make_tiff(
                describe_strip(SAMPLES, 8, t37724=1, t33550=1), data=SAMPLES.tobytes()
            ),
            "Photoshop's layers",
        ),
    }  # fmt: skip
    for name, (data, loss) in cases.items():
        (tmp_path / name).write_bytes(data)
        assert loss in read_picture(tmp_path / name).lost
    assert "the TIFF entries 33550" in read_picture(tmp_path / "f.tif").lost


def test_what_a_kind_cannot_hold_is_named(tmp_path):
    exif = b"II*\0\x08\0\0\0" + pack_directory("<", {315: Entry(2, 70_000, b"a" * 70_000)}, 8)
    metadata = Metadata(exif=exif, xmp=b"x" * 70_000, photoshop=RESOURCES)
    picture = Picture(torch.rand(1, 3, 8, 8), bits=16, metadata=metadata, is_lossless=True)
    found = {suffix: find_losses(tmp_path / f"a{suffix}", picture) for suffix in
             (".jpg", ".png", ".tif", ".webp", ".bmp", ".avif")}  # fmt: skip
    names = {suffix: [loss.split(" (")[0] for loss in losses] for suffix, losses in found.items()}
    assert names[".png"] == names[".tif"] == []
    assert names[".jpg"] == ["EXIF", "XMP", "16 bits per sample"]
    assert names[".webp"] == ["IPTC", "16 bits per sample"]
    assert names[".bmp"] == ["EXIF", "XMP", "IPTC", "16 bits per sample"]
    assert names[".avif"][-1] == "the exact pixels of a lossless AVIF"
    write_picture(tmp_path / "a.jpg", picture)  # what is too long is left out, and was named
    assert read_picture(tmp_path / "a.jpg").metadata.exif == b""


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_lossless_webp_stays_lossless(tmp_path, mode):
    samples = np.random.default_rng(0).integers(0, 256, (16, 24, len(mode)), dtype=np.uint8)
    (tmp_path / "in.webp").write_bytes(encode(samples, "WEBP", lossless=True, exact=True))
    picture = read_picture(tmp_path / "in.webp")
    write_picture(tmp_path / "out.webp", picture)
    with Image.open(tmp_path / "out.webp") as written:
        assert np.array_equal(np.asarray(written.convert(mode)), samples)
    lossy = encode(samples, "WEBP", quality=80)
    (tmp_path / "in.webp").write_bytes(lossy)
    write_picture(tmp_path / "out.webp", read_picture(tmp_path / "in.webp"))
    assert b"VP8L" not in (tmp_path / "out.webp").read_bytes()[:64]


def test_a_lossless_avif_is_told_from_others(tmp_path):
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "AVIF", quality=100, subsampling="4:4:4")
    data = file.getvalue()
    at = data.index(b"nclx") + 8  # the matrix: 0 is RGB, as lossless files store it
    (tmp_path / "a.avif").write_bytes(data)
    assert not read_picture(tmp_path / "a.avif").is_lossless
    (tmp_path / "a.avif").write_bytes(data[:at] + b"\0\0" + data[at + 2 :])
    assert read_picture(tmp_path / "a.avif").is_lossless
