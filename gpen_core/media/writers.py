"""Writers for 16-bit PNG and for TIFF.

Pillow cannot write 16-bit colours, and in TIFF it writes text in ASCII only.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from .tiff_tags import (
    BYTE,
    DESCRIPTIVE,
    LONG,
    PER_INCH,
    RATIONAL,
    RESOLUTION_UNIT,
    SHORT,
    UNDEFINED,
    X_RESOLUTION,
    Y_RESOLUTION,
    Entry,
    find_byte_order,
    find_main_directory,
    pack_directory,
    pack_entry,
    read_directory,
)
from .xmp import PNG_KEYWORD, update_xmp

if TYPE_CHECKING:
    from typing import BinaryIO

    from .metadata import Metadata

_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of samples per pixel


def write_png16(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    """Write a PNG of uint16 samples.

    Args:
        file: where to write.
        samples: [H, W], or [H, W, C] with channels grey + alpha, RGB or RGBA.
        metadata: EXIF, XMP, colour profile and resolution to write.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[count], 0, 0, 0)
    _write_chunk(file, b"IHDR", header)
    if metadata.icc:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        per_metre = [round(dots / 0.0254) for dots in metadata.dpi]
        _write_chunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        _write_chunk(file, b"eXIf", metadata.update_exif((width, height)))
    if metadata.xmp:
        head = PNG_KEYWORD.encode() + b"\0\0\0\0\0"  # uncompressed, without a language
        _write_chunk(file, b"iTXt", head + update_xmp(metadata.xmp, (width, height)))
    packer = zlib.compressobj(6)
    above = np.zeros(2 * width * count, np.uint8)
    for row in samples.reshape(height, -1):
        line = row.astype(">u2").view(np.uint8)
        # Filter 2, "up": each byte minus the byte above it.
        packed = packer.compress(b"\x02" + (line - above).tobytes())
        if packed:
            _write_chunk(file, b"IDAT", packed)
        above = line
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")


def write_tiff(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    """Write a TIFF of uint8 or uint16 samples, compressed with deflate.

    16-bit grey + alpha is written as RGBA, because neither Pillow nor OpenCV can read it in TIFF.

    The file begins with the EXIF block, which is a complete TIFF without pixels, so the offsets
    inside it stay valid. The picture's directory follows it and takes over its entries.

    Args:
        file: where to write.
        samples: [H, W], or [H, W, C] with channels grey + alpha, RGB or RGBA.
        metadata: EXIF, XMP, colour profile and resolution to write.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    if samples.itemsize == 2 and samples.shape[2] == 2:
        samples = samples[..., (0, 0, 0, 1)]
    height, width, _ = samples.shape
    exif = metadata.update_exif((width, height))
    if len(exif) < 8:
        exif = b"II*\0\x08\0\0\0"
    order = find_byte_order(exif)
    inherited = read_directory(exif, find_main_directory(exif))
    entries = {tag: entry for tag, entry in inherited.items() if tag in DESCRIPTIVE}
    start = len(exif) + len(exif) % 2
    packed = zlib.compress(np.ascontiguousarray(samples, f"{order}u{samples.itemsize}").data, 6)
    entries |= _describe_samples(order, samples, len(packed))
    entries |= _describe_metadata(order, metadata, (width, height))
    directory_length = len(pack_directory(order, entries, start))
    entries[273] = pack_entry(order, LONG, start + directory_length)  # offset of the pixels
    file.write(exif[:4] + struct.pack(order + "L", start) + exif[8:].ljust(start - 8, b"\0"))
    file.write(pack_directory(order, entries, start))
    file.write(packed)


def _describe_samples(order: str, samples: np.ndarray, packed_length: int) -> dict[int, Entry]:
    """Make the TIFF entries for samples [H, W, C]; the offset of the pixels is 0."""
    height, width, count = samples.shape
    shorts = {
        258: (samples.itemsize * 8,) * count,  # bits per sample
        259: (8,),  # deflate
        262: (1 if count < 3 else 2,),  # grey, RGB
        277: (count,),  # samples per pixel
        284: (1,),  # interleaved
    }
    if count in (2, 4):
        shorts[338] = (2,)  # the last sample is unassociated alpha
    longs = {256: width, 257: height, 273: 0, 278: height, 279: packed_length}
    entries = {tag: pack_entry(order, SHORT, *values) for tag, values in shorts.items()}
    return entries | {tag: pack_entry(order, LONG, value) for tag, value in longs.items()}


def _describe_metadata(order: str, metadata: Metadata, size: tuple[int, int]) -> dict[int, Entry]:
    """Make the TIFF entries for resolution, colour profile and XMP."""
    entries = {}
    if metadata.dpi:
        for tag, dots in zip((X_RESOLUTION, Y_RESOLUTION), metadata.dpi, strict=True):
            entries[tag] = pack_entry(order, RATIONAL, round(dots * 1000), 1000)
        entries[RESOLUTION_UNIT] = pack_entry(order, SHORT, PER_INCH)
    if metadata.icc:
        entries[34675] = Entry(UNDEFINED, len(metadata.icc), metadata.icc)
    if metadata.xmp:
        xmp = update_xmp(metadata.xmp, size)
        entries[700] = Entry(BYTE, len(xmp), xmp)
    return entries


def _write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    check = zlib.crc32(content, zlib.crc32(name))
    file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", check))
