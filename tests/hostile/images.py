"""Make image files that try to run, hang, crash or exhaust whoever opens them.

`make_attacks()` makes one small file per attack. `mutations(seed, count)` alters sound files. Open
the files with gpen_core only.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from hostile_files import COMMON_KINDS, alter_bytes, draw_place
from odd_images import (
    add_jpeg_segment,
    add_png_chunks,
    describe_strip,
    encode,
    make_exif,
    make_photograph,
    make_tiff,
)

EXIF_PREFIX, XMP_PREFIX = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
SAMPLES = make_photograph(40, 60)
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"><exif:SubjectArea><rdf:Seq>'
    b"<rdf:li>9</rdf:li><rdf:li>9</rdf:li></rdf:Seq></exif:SubjectArea></rdf:Description>"
    b"</rdf:RDF></x:xmpmeta>"
)


def exif_loop(count: int) -> bytes:
    """An EXIF directory whose entries all name that directory as the Exif directory."""
    entry = struct.pack("<HHLL", 34665, 4, 1, 8)
    return b"II*\0" + struct.pack("<LH", 8, count) + entry * count + bytes(4)


def exif_in_a_circle() -> bytes:
    """An EXIF block whose Exif directory is its main one, with an orientation."""
    return make_exif((274, 3, struct.pack("<H", 6)), (34665, 4, struct.pack("<L", 8)))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return add_png_chunks(b"\x89PNG\r\n\x1a\n" + bytes(25), *chunks).replace(bytes(25), b"", 1)


def png_header(width: int, height: int, bits: int = 8, colour: int = 2, interlaced: int = 0):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)


def make_attacks() -> dict[str, bytes]:
    """The contents of one file per attack, by its name."""
    return {**_make_programs(), **_make_metadata(), **_make_pixels(), **_make_tiffs()}


def _make_programs() -> dict[str, bytes]:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    in_dos = b"\xc5\xd0\xd3\xc6" + struct.pack("<6LH", 30, len(eps), 0, 0, 0, 0, 0) + eps
    return {
        "eps.jpg": eps + b"showpage\n%%EOF\n",
        "eps_loop.png": eps + b"{} loop\n",
        "eps_file.tif": eps + b"(was-run) (w) file closefile\n",
        "eps_in_dos.webp": in_dos,
        "film_of_images.gif": b"FLI" + bytes(200),
        "icon_of_png.png": b"\0\0\1\0\1\0" + bytes(200),
    }  # fmt: skip


def _make_metadata() -> dict[str, bytes]:
    jpeg, png = encode(SAMPLES, "JPEG"), encode(SAMPLES, "PNG")
    bomb = zlib.compress(bytes(20_000_000), 9)
    deep = b"<MotionPhoto>" * 40_000 + b"</MotionPhoto>" * 40_000
    entities = b'<!DOCTYPE a [<!ENTITY a "hdr-gain-map"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'
    loop = exif_loop(5_000)
    return {
        "exif_loop.png": add_png_chunks(png, (b"eXIf", exif_loop(65_535))),
        "exif_loop.jpg": add_jpeg_segment(jpeg, 0xE1, EXIF_PREFIX + loop),
        "exif_loop.webp": encode(SAMPLES, "WEBP", exif=EXIF_PREFIX + loop),
        "exif_circle.jpg": add_jpeg_segment(jpeg, 0xE1, EXIF_PREFIX + exif_in_a_circle()),
        "exif_far.jpg": add_jpeg_segment(jpeg, 0xE1, EXIF_PREFIX + b"II*\0\xff\xff\xff\xff"),
        "text_bomb.png": add_png_chunks(png, (b"zTXt", b"a\0\0" + bomb)),
        "xmp_bomb.png": add_png_chunks(
            png, (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
        ),
        "profile_bomb.png": add_png_chunks(png, (b"iCCP", b"a\0\0" + bomb)),
        "raw_profile_bomb.png": add_png_chunks(
            png, (b"zTXt", b"Raw profile type exif\0\0" + bomb)
        ),
        "many_chunks.png": add_png_chunks(png, *[(b"tEXt", b"a\0b")] * 20_000),
        "xmp_deep.jpg": add_jpeg_segment(jpeg, 0xE1, XMP_PREFIX + deep[:60_000]),
        "xmp_deep.webp": encode(SAMPLES, "WEBP", xmp=deep),
        "xmp_entities.jpg": add_jpeg_segment(jpeg, 0xE1, XMP_PREFIX + entities),
        "xmp_numbers.jpg": add_jpeg_segment(
            jpeg, 0xE1, XMP_PREFIX + PACKET.replace(b">9<", b">" + b"9" * 5000 + b"<")
        ),
        "photoshop_far.jpg": add_jpeg_segment(
            jpeg, 0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff" + b"\xff" * 40
        ),
        "many_segments.jpg": jpeg[:2] + b"\xff\xed\0\x10Photoshop 3.0\0" * 20_000 + jpeg[2:],
    }  # fmt: skip


def _make_pixels() -> dict[str, bytes]:
    jpeg, bmp = encode(SAMPLES, "JPEG"), encode(SAMPLES, "BMP")
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    progressive = encode(SAMPLES, "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    size = jpeg.index(b"\xff\xc0") + 5
    rows = zlib.compress(bytes(40 * 181))
    header = png_header(60, 40)
    return {
        "large.png": png_of(png_header(12_000, 12_000), (b"IDAT", rows), (b"IEND", b"")),
        "large_adam7.png": png_of(
            png_header(12_000, 12_000, interlaced=1), (b"IDAT", rows), (b"IEND", b"")
        ),
        "more_than_promised.png": png_of(
            header, (b"IDAT", zlib.compress(bytes(20_000_000), 9)), (b"IEND", b"")
        ),
        "no_pixels.png": png_of(header, (b"IEND", b"")),
        "two_headers.png": png_of(
            header, png_header(9_000, 9_000), (b"IDAT", rows), (b"IEND", b"")
        ),
        "endless_chunk.png": png_of(header) + b"\xff\xff\xff\xffIDAT" + rows,
        "film.png": png_of(header, (b"acTL", b"\xff" * 8), (b"IDAT", rows), (b"IEND", b"")),
        "large.jpg": jpeg[:size] + struct.pack(">HH", 12_000, 12_000) + jpeg[size + 4 :],
        "sideless.jpg": jpeg[:size] + bytes(4) + jpeg[size + 4 :],
        "many_scans.jpg": progressive[:-2] + last * 5_000 + b"\xff\xd9",
        "scans_without_end.jpg": jpeg[:-2] + scan * 200,
        "lossless.jpg": jpeg.replace(b"\xff\xc0", b"\xff\xc3", 1),
        "large.bmp": bmp[:18] + struct.pack("<ii", 12_000, -12_000) + bmp[26:],
        "far_pixels.bmp": bmp[:10] + b"\xff\xff\xff\xff" + bmp[14:],
        "no_masks.bmp": bmp[:28] + struct.pack("<HI", 32, 3) + bytes(20) + bmp[54:],
        "run_length.bmp": bmp[:28] + struct.pack("<HI", 8, 1) + bmp[34:200],
        "large.ppm": b"P6 12000 12000 255\n" + bytes(900),
        "digits.ppm": b"P6 " + b"9" * 5_000 + b" 9 255\n",
        "large.gif": b"GIF89a" + struct.pack("<HH", 60_000, 2_900) + b"\x80\0\0" + bytes(6) + b";",
        "large.tga": struct.pack("<BBB5xHHHHBB", 0, 0, 10, 0, 0, 13_000, 13_000, 24, 0) + bytes(99),
        "large.webp": encode(SAMPLES, "WEBP")[:26] + b"\xff\x3f\xff\x3f"
        + encode(SAMPLES, "WEBP")[30:],
    }  # fmt: skip


def _make_tiffs() -> dict[str, bytes]:
    strip = describe_strip(SAMPLES, 8)
    data = SAMPLES.tobytes()
    sound = make_tiff(strip, data=data)
    start = struct.unpack_from("<L", sound, 4)[0]
    entries = b"".join(struct.pack("<HHLL", 40_000 + i, 1, 1 << 20, 8) for i in range(8_000))
    greedy = b"II*\0" + struct.pack("<L", 8 + (1 << 20)) + bytes(1 << 20)
    chain = bytearray(b"II*\0" + struct.pack("<L", 8))
    for number in range(4_000):
        chain += struct.pack("<HHHLLL", 1, 256, 4, 1, 9, 8 + 18 * (number + 1))
    below = make_tiff(strip | {330: (start,) * 60}, data=data)
    return {
        "one_value_often.tif": greedy + struct.pack("<H", 8_000) + entries + bytes(4),
        "next_is_itself.tif": sound[:-4] + struct.pack("<L", start)
        if sound.endswith(bytes(4))
        else sound,
        "long_chain.tif": bytes(chain),
        "below_itself.tif": below,
        "many_entries.tif": b"II*\0\x08\0\0\0\xff\xff" + entries + bytes(600_000),
        "far_big.tif": b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(40),
        "many_entries_big.tif": b"II+\0\x08\0\0\0"
        + struct.pack("<QQ", 16, 1 << 60)
        + bytes(90_000),
        "large.tif": make_tiff(strip | {256: 12_000, 257: 12_000}, data=data),
        "small_tiles.tif": make_tiff(
            strip | {322: 1, 323: 1, 324: (8,) * 9_000, 325: (3,) * 9_000, 256: 9_000, 257: 9_000},
            data=data,
        ),
        "planes.tif": make_tiff(strip | {277: 60_000, 284: 2}, data=data),
        "no_rows.tif": make_tiff(strip | {278: 0, 257: 0}, data=data),
        "odd_numbers.tif": make_tiff(strip | {256: b"text\0", 258: b"\0"}, data=data),
    }  # fmt: skip


def sound_files() -> dict[str, bytes]:
    """Small sound files of all formats, with metadata, by their names."""
    exif = make_exif(
        (274, 3, struct.pack("<H", 6)),
        (315, 2, b"Zoe\0"),
        inner=((37396, 3, struct.pack("<2H", 9, 9)), (40962, 4, struct.pack("<L", 60))),
    )
    jpeg = add_jpeg_segment(encode(SAMPLES, "JPEG"), 0xE1, EXIF_PREFIX + exif)
    jpeg = add_jpeg_segment(jpeg, 0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x04\x1c\2\0\0")
    chunks = (b"eXIf", exif), (b"tEXt", b"a\0b"), (b"gAMA", b"\0\1\x86\xa0"), (b"iTXt", b"XML:com."
              b"adobe.xmp\0\0\0\0\0" + PACKET)  # fmt: skip
    deep = SAMPLES.astype(np.uint16) * 257
    tiff = encode(SAMPLES, "TIFF", compression="tiff_lzw", description="Zoe")
    deep_tiff = make_tiff(describe_strip(deep, 8), data=deep.tobytes())
    return {
        "a.jpg": add_jpeg_segment(jpeg, 0xE1, XMP_PREFIX + PACKET),
        "b.jpg": encode(SAMPLES, "JPEG", progressive=True),
        "a.png": add_png_chunks(encode(SAMPLES, "PNG"), *chunks),
        "a.tif": tiff,
        "b.tif": make_tiff(describe_strip(SAMPLES, 8), data=SAMPLES.tobytes()),
        "c.tif": deep_tiff,
        "a.webp": encode(SAMPLES, "WEBP", exif=EXIF_PREFIX + exif, xmp=PACKET),
        "a.avif": encode(SAMPLES, "AVIF", exif=EXIF_PREFIX + exif),
        "a.gif": encode(SAMPLES, "GIF"),
        "a.bmp": encode(SAMPLES, "BMP"),
        "a.ppm": encode(SAMPLES, "PPM"),
        "a.tga": encode(SAMPLES, "TGA", compression="tga_rle"),
        "a.jp2": encode(SAMPLES, "JPEG2000"),
    }


def mutations(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Alter sound files at random: bytes, cuts, copies within the file, numbers at their limits."""
    dice = random.Random(seed)
    files = list(sound_files().items())
    for number in range(count):
        name, contents = dice.choice(files)
        altered = bytearray(contents)
        for _ in range(dice.choice([1, 1, 2, 4, 16])):
            _alter(altered, dice)
        if name.endswith(".png") and dice.random() < 0.7:
            altered = bytearray(_mend_checksums(bytes(altered)))
        yield f"{number}_{name}", bytes(altered)


def _alter(altered: bytearray, dice: random.Random) -> None:
    place = draw_place(altered, dice)
    kind = dice.randrange(COMMON_KINDS + 2)
    if kind < COMMON_KINDS:
        alter_bytes(altered, place, kind, dice, "<>")
    elif kind == COMMON_KINDS and dice.random() < 0.3:
        del altered[dice.randrange(len(altered) // 2, len(altered)) :]
    else:
        altered[place : place + 2] = dice.choice(
            [b"\xff\xd9", b"\xff\xda", b"\xff\xc4", b"\0\0", b"\xff\xff", b"\x1c\2", b"\0\1"]
        )
    if not altered:
        altered += b"\0"


def _mend_checksums(png: bytes) -> bytes:
    """Let the checksums of a PNG's chunks be right, so that the decoders see what was altered."""
    at, mended = 8, bytearray(png)
    while at + 12 <= len(mended):
        (length,) = struct.unpack_from(">I", mended, at)
        end = at + 8 + length
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(mended[at + 4 : end])))
        at = end + 4
    return bytes(mended)
