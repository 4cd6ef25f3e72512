"""XMP packets survive from the input file to the output file."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, features

from gpen_core.media import Picture, read_picture, write_picture
from gpen_core.media.metadata import MOST_JPEG_XMP

PACKET = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmp:Rating="5" tiff:Orientation="6" exif:PixelXDimension="4000">
 <exif:PixelYDimension>3000</exif:PixelYDimension>
 <dc:rights>© Zoë</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()

KINDS = [".jpg", ".png", ".webp", ".tif", *([".avif"] if features.check("avif") else [])]


def write_source(path):
    Image.new("RGB", (20, 12), (90, 120, 200)).save(path, xmp=PACKET)
    return read_picture(path)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_packet_is_written_to_the_output_and_describes_the_upright_picture(
    tmp_path, suffix, bits
):
    picture = write_source(tmp_path / "in.jpg")
    assert picture.metadata.xmp == PACKET
    assert picture.size == (12, 20)  # turned by 90°, as the packet says
    path = tmp_path / f"out{suffix}"
    write_picture(path, Picture(picture.pixels, bits=bits, metadata=picture.metadata))
    again = read_picture(path)
    assert again.size == (12, 20)
    for kept in (b'xmp:Rating="5"', "© Zoë".encode(), b'tiff:Orientation="1"'):
        assert kept in again.metadata.xmp
    assert b'exif:PixelXDimension="12"' in again.metadata.xmp
    assert b"<exif:PixelYDimension>20</" in again.metadata.xmp
    twice = tmp_path / f"twice{suffix}"
    write_picture(twice, again)
    assert read_picture(twice).metadata.xmp == again.metadata.xmp


def test_a_packet_too_long_for_a_jpeg_is_dropped_and_the_jpeg_written(tmp_path):
    picture = write_source(tmp_path / "in.jpg")
    packet = picture.metadata.xmp + b" " * MOST_JPEG_XMP
    metadata = type(picture.metadata)(xmp=packet)
    for suffix, kept in ((".jpg", False), (".png", True), (".bmp", False)):
        path = tmp_path / f"out{suffix}"
        write_picture(path, Picture(torch.rand(1, 3, 8, 8), metadata=metadata))
        assert (len(read_picture(path).metadata.xmp) == len(metadata.update_xmp((8, 8)))) == kept


def test_a_damaged_packet_does_no_harm(tmp_path):
    picture = write_source(tmp_path / "in.jpg")
    metadata = type(picture.metadata)(xmp=b"\xff\xfe<x" + bytes(range(256)))
    for suffix in KINDS:
        path = tmp_path / f"out{suffix}"
        write_picture(path, Picture(picture.pixels, metadata=metadata))
        assert read_picture(path).size == (12, 20)
