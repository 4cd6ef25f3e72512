"""Colours are kept by whatever a file states them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from odd_images import add_png_chunks, describe_strip, encode, make_tiff
from PIL import Image, ImageCms

from gpen_core.errors import ImageError
from gpen_core.media import read_picture, write_picture
from gpen_core.media.colour import make_profile, read_codes

GREEN = np.full((8, 8, 3), (0, 200, 0), np.uint8)
ADOBE = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SRGB = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
GAMMA_2_2 = struct.pack(">I", 45455)
DISPLAY_P3, BT2020_PQ, BT2100_HLG = b"\x0c\x0d\0\1", b"\x09\x10\0\1", b"\x09\x12\0\1"


def write_png(path, *chunks, samples=GREEN):
    path.write_bytes(add_png_chunks(encode(samples, "PNG"), *chunks))
    return read_picture(path)


def show(profile, colour):
    """The CIE Lab of a colour, by a colour management of another house."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    lab = ImageCms.createProfile("LAB")
    image = Image.new("RGB", (1, 1), colour)
    shown = ImageCms.profileToProfile(image, source, lab, outputMode="LAB")
    lightness, a, b = np.frombuffer(shown.tobytes(), np.uint8).tolist()
    return lightness / 2.55, a - (a > 127) * 256, b - (b > 127) * 256


def test_our_srgb_is_the_srgb_of_others():
    ours = make_profile(
        ((0.3127, 0.329), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
        b"curv" + bytes(4) + struct.pack(">IH", 1, 563),  # 2.2
    )
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (120, 130, 140)):
        assert show(ours, colour) == pytest.approx(show(theirs, colour), abs=1.5)


def columns(profile):
    """The XYZ of red, green and blue that a profile states."""
    found = {}
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name, start, _ = struct.unpack_from(">4sII", profile, at)
        if name.endswith(b"XYZ"):
            found[name] = [n / 65536 for n in struct.unpack_from(">3i", profile, start + 8)]
    return [found[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ")]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [  # the numbers in Adobe's and Apple's own profiles
        (
            [(b"gAMA", GAMMA_2_2), (b"cHRM", ADOBE)],
            [(0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)],
        ),
        (
            [(b"cICP", DISPLAY_P3)],
            [(0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)],
        ),
    ],
    ids=["Adobe RGB", "Display P3"],
)
def test_a_pngs_own_statement_becomes_a_profile_and_stays_in_png(tmp_path, chunks, expected):
    picture = write_png(tmp_path / "a.png", *chunks)
    assert np.array(columns(picture.metadata.icc)) == pytest.approx(np.array(expected), abs=5e-4)
    for suffix in (".jpg", ".tif", ".webp", ".avif"):
        write_picture(tmp_path / f"out{suffix}", picture)
        with Image.open(tmp_path / f"out{suffix}") as written:
            assert written.info["icc_profile"] == picture.metadata.icc
    write_picture(tmp_path / "out.png", picture)
    again = read_picture(tmp_path / "out.png")
    assert sorted(again.metadata.png_colours) == sorted(chunks)
    assert b"iCCP" not in (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"sRGB", b"\0"), (b"gAMA", GAMMA_2_2), (b"cHRM", SRGB)],
        [(b"gAMA", GAMMA_2_2)],
        [(b"cICP", b"\1\x0d\0\1")],
        [(b"gAMA", bytes(4))],
        [(b"cHRM", bytes(32))],
        [(b"cICP", b"\x02\x02\0\1")],
    ],
    ids=["nothing", "sRGB", "gamma", "cICP sRGB", "no gamma", "no colours", "unspecified"],
)
def test_srgb_and_nonsense_need_no_profile(tmp_path, chunks):
    assert write_png(tmp_path / "a.png", *chunks).metadata.icc == b""


def test_a_profile_in_the_file_is_taken_before_gamma_and_primaries(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(GREEN, "PNG", icc_profile=profile)
    (tmp_path / "a.png").write_bytes(add_png_chunks(data, (b"cHRM", ADOBE)))
    picture = read_picture(tmp_path / "a.png")
    assert (picture.metadata.icc, picture.metadata.is_icc_made) == (profile, False)
    write_picture(tmp_path / "b.png", picture)
    assert read_picture(tmp_path / "b.png").metadata.icc == profile


def test_a_grey_png_gets_a_grey_profile(tmp_path):
    chunks = (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", SRGB)
    picture = write_png(tmp_path / "a.png", *chunks, samples=GREEN[..., 1])
    assert picture.metadata.icc[16:20] == b"GRAY"


def test_hdr_is_refused_in_words(tmp_path):
    tag = b"cicp" + bytes(4) + BT2020_PQ
    profile = bytes(128) + struct.pack(">I", 1) + b"cicp" + struct.pack(">II", 144, len(tag)) + tag
    for chunks in ([(b"cICP", BT2020_PQ)], [(b"cICP", BT2100_HLG)]):
        with pytest.raises(ImageError, match=r"a\.png is an HDR picture \(transfer curve (PQ|HLG)"):
            write_png(tmp_path / "a.png", *chunks)
    (tmp_path / "b.png").write_bytes(encode(GREEN, "PNG", icc_profile=profile))
    with pytest.raises(ImageError, match=r"HDR picture .*PQ"):
        read_picture(tmp_path / "b.png")
    avif = encode(GREEN, "AVIF")
    at = avif.index(b"nclx") + 4
    (tmp_path / "a.avif").write_bytes(avif[:at] + struct.pack(">HH", 9, 16) + avif[at + 4 :])
    with pytest.raises(ImageError, match=r"HDR picture .*PQ"):
        read_picture(tmp_path / "a.avif")


def test_an_avif_states_its_colours_by_codes(tmp_path):
    avif = encode(GREEN, "AVIF")
    at = avif.index(b"nclx") + 4
    (tmp_path / "a.avif").write_bytes(avif[:at] + struct.pack(">HH", 12, 13) + avif[at + 4 :])
    assert read_picture(tmp_path / "a.avif").metadata.icc == read_codes(12, 13).icc


def test_tiff_and_bmp_state_their_colours_by_entries_and_headers(tmp_path):
    entries = describe_strip(GREEN, 8)
    data = bytearray(make_tiff(entries | {318: (0,), 319: (0,)}, data=GREEN.tobytes()))
    numbers = struct.unpack(">8I", ADOBE)
    for tag, values in ((318, numbers[:2]), (319, numbers[2:])):
        at = data.index(struct.pack("<HHL", tag, 4, 1))
        struct.pack_into("<HHLL", data, at, tag, 5, len(values), len(data))
        data += b"".join(struct.pack("<LL", value, 100_000) for value in values)
    (tmp_path / "a.tif").write_bytes(data)
    assert show(read_picture(tmp_path / "a.tif").metadata.icc, (0, 200, 0))[1] < -95
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    bmp = encode(GREEN, "BMP")
    header = struct.pack("<I", 124) + bmp[18:54] + bytes(16) + struct.pack("<I", 0x4D424544)
    header = header.ljust(112, b"\0") + struct.pack("<II", 124 + len(bmp) - 54, len(profile))
    header = header.ljust(124, b"\0")
    whole = bmp[:10] + struct.pack("<I", 14 + 124) + header + bmp[54:] + profile
    (tmp_path / "a.bmp").write_bytes(whole)
    picture = read_picture(tmp_path / "a.bmp")
    assert picture.metadata.icc == profile
    assert picture.pixels[0, :, 0, 0].tolist() == pytest.approx([0, 200 / 255, 0])
