"""Small image files as programs and cameras write them, and as transfers damage them."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
from PIL import Image

from gpen_core.media import tiff_tags

PNG_HEADER_LENGTH = 33


def make_photograph(height: int = 64, width: int = 96) -> np.ndarray:
    """uint8 [H, W, 3], smooth, nowhere grey and nowhere equal from row to row."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 150 * x / width, 60 + 120 * y / height, 90 + 60 * np.sin(x / 9 + y / 7)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def encode(samples: np.ndarray, kind: str, **options: object) -> bytes:
    """The bytes of a file that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(samples).save(file, kind, **options)
    return file.getvalue()


def add_png_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks (name, content) after its header."""
    added = b"".join(
        struct.pack(">I", len(content)) + name + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )  # fmt: skip
    return png[:PNG_HEADER_LENGTH] + added + png[PNG_HEADER_LENGTH:]


def add_jpeg_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with a segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def make_exif(*entries: tuple[int, int, bytes], inner: tuple[tuple[int, int, bytes], ...] = ()):
    """An EXIF block of entries (tag, type, value), little-endian; `inner` are those of its Exif
    directory."""

    def pack(rows, at):
        sizes = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}
        directory = {
            tag: tiff_tags.Entry(kind, len(value) // sizes[kind], value)
            for tag, kind, value in rows
        }
        return tiff_tags.pack_directory("<", directory, at)

    below = pack(inner, 8)
    rows = [*entries, (34665, 4, struct.pack("<L", 8))] if inner else list(entries)
    start = 8 + len(below) if inner else 8
    head = b"II*\0" + struct.pack("<L", start)
    return head + (below if inner else b"") + pack(rows, start)


def make_tiff(*directories: dict[int, object], data: bytes = b"", first: int = 0) -> bytes:
    """A little-endian TIFF: pixel data at offset 8, and a chain of directories.

    Args:
        directories: the numbers of each entry by its tag: one, or a tuple. Text is bytes.
        data: what stands at offset 8.
        first: the index of the directory that the header names; the others follow in turn.
    """
    body = bytearray(b"II*\0\0\0\0\0" + data)
    starts = []
    for entries in directories:
        body += b"\0" * (len(body) % 2)
        starts.append(len(body))
        packed = {
            tag: tiff_tags.Entry(2, len(value), value)
            if isinstance(value, bytes)
            else tiff_tags.pack_entry("<", tiff_tags.LONG, *np.atleast_1d(value))
            for tag, value in entries.items()
        }
        body += tiff_tags.pack_directory("<", packed, len(body))
    order = [*range(first, len(starts)), *range(first)]
    struct.pack_into("<L", body, 4, starts[order[0]])
    for this, following in itertools.pairwise(order):
        at = starts[this] + 2 + 12 * len(directories[this])
        struct.pack_into("<L", body, at, starts[following])
    return bytes(body)


def describe_strip(samples: np.ndarray, at: int, **tags: object) -> dict[int, object]:
    """The entries of an uncompressed picture [H, W] or [H, W, C] in one strip at an offset."""
    height, width, count = samples.reshape(*samples.shape[:2], -1).shape
    entries: dict[int, object] = {
        256: width, 257: height, 258: (8 * samples.itemsize,) * count, 259: 1,
        262: 1 if count == 1 else 2, 273: at, 277: count, 278: height, 279: samples.nbytes,
    }  # fmt: skip
    return entries | {int(name[1:]): value for name, value in tags.items()}
