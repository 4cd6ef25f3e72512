"""Writers for PNG and TIFF.

Pillow cannot write 16-bit colours. In TIFF it writes text in ASCII only, and in PNG it leaves out
or changes some of the chunks that we copy.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from . import photoshop
from .png_chunks import SIGNATURE, pack_chunk
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

if TYPE_CHECKING:
    from typing import BinaryIO

    from .metadata import Metadata

_HEADER_LENGTH = 8 + 25  # PNG's signature and its chunk IHDR
_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of samples per pixel


class _InsertAfterHeader:
    """A file that takes what Pillow writes of a PNG, and adds chunks after its header."""

    def __init__(self, file: BinaryIO, chunks: bytes) -> None:
        self._file, self._chunks, self._left = file, chunks, _HEADER_LENGTH

    def write(self, data: bytes) -> int:
        """Write the data, and the chunks once the header is complete."""
        if not self._left:
            return self._file.write(data)
        head, rest = data[: self._left], data[self._left :]
        self._left -= len(head)
        self._file.write(head)
        if not self._left:
            self._file.write(self._chunks)
            self._file.write(rest)
        return len(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


def write_png8(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    """Write a PNG of uint8 samples.

    Args:
        file: where to write.
        samples: [H, W], or [H, W, C] with channels grey + alpha, RGB or RGBA.
        metadata: the metadata to write.
    """
    chunks = metadata.make_png_chunks((samples.shape[1], samples.shape[0]))
    spliced = _InsertAfterHeader(file, chunks)
    Image.fromarray(samples).save(spliced, "PNG")  # pyright: ignore[reportArgumentType]


def write_png16(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    """Write a PNG of uint16 samples.

    Args:
        file: where to write.
        samples: [H, W], or [H, W, C] with channels grey + alpha, RGB or RGBA.
        metadata: the metadata to write.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[count], 0, 0, 0)
    file.write(SIGNATURE + pack_chunk(b"IHDR", header))
    file.write(metadata.make_png_chunks((width, height)))
    packer = zlib.compressobj(6)
    above = np.zeros(2 * width * count, np.uint8)
    for row in samples.reshape(height, -1):
        line = row.astype(">u2").view(np.uint8)
        # Filter 2, "up": each byte minus the byte above it.
        packed = packer.compress(b"\x02" + (line - above).tobytes())
        if packed:
            file.write(pack_chunk(b"IDAT", packed))
        above = line
    file.write(pack_chunk(b"IDAT", packer.flush()) + pack_chunk(b"IEND", b""))


def write_tiff(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    """Write a TIFF of uint8 or uint16 samples, compressed with deflate.

    16-bit grey + alpha is written as RGBA, because neither Pillow nor OpenCV can read it in TIFF.

    The file begins with the EXIF block, which is a complete TIFF without pixels, so the offsets
    inside it stay valid. The picture's directory follows it and takes over its entries.

    Args:
        file: where to write.
        samples: [H, W], or [H, W, C] with channels grey + alpha, RGB or RGBA.
        metadata: the metadata to write.
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
    """Make the TIFF entries for resolution, colour profile, XMP and IPTC."""
    entries = {}
    if metadata.dpi:
        for tag, dots in zip((X_RESOLUTION, Y_RESOLUTION), metadata.dpi, strict=True):
            entries[tag] = pack_entry(order, RATIONAL, round(dots * 1000), 1000)
        entries[RESOLUTION_UNIT] = pack_entry(order, SHORT, PER_INCH)
    if metadata.icc:
        entries[34675] = Entry(UNDEFINED, len(metadata.icc), metadata.icc)
    if metadata.xmp:
        xmp = metadata.update_xmp(size)
        entries[700] = Entry(BYTE, len(xmp), xmp)
    resources = photoshop.read_resources(metadata.photoshop)
    if iptc := resources.pop(photoshop.IPTC, b""):
        entries[33723] = Entry(UNDEFINED, len(iptc), iptc)
    if block := photoshop.pack_resources(resources):
        entries[34377] = Entry(BYTE, len(block), block)
    return entries
