"""Decode the pixels of a TIFF: as much as the file holds, in 8 or 16 bits per sample."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from .. import pillow_decoding
from ..contents import MOST_CUT, Contents, Decoded, describe_missing_rows
from ..tiff_tags import (
    LONG,
    SHORT,
    Entry,
    find_byte_order,
    pack_directory,
    pack_entry,
    read_numbers,
)
from .tiff_chunks import (
    PLANES,
    ROWS_PER_STRIP,
    STRIP_LENGTHS,
    STRIP_OFFSETS,
    TILE_HEIGHT,
    TILE_LENGTHS,
    TILE_OFFSETS,
    TILE_WIDTH,
    Chunks,
    count_rows,
    find_chunks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ..metadata import Metadata

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_SAMPLES = 277
_PREDICTOR = 317
_EXTRA, _SAMPLE_FORMAT = 338, 339
LAYOUT = frozenset(
    {
        _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, STRIP_OFFSETS, _SAMPLES,
        ROWS_PER_STRIP, STRIP_LENGTHS, PLANES, _PREDICTOR, TILE_WIDTH, TILE_HEIGHT,
        TILE_OFFSETS, TILE_LENGTHS, _EXTRA, _SAMPLE_FORMAT,
        *(292, 293, 320, 332, 347, *range(512, 522), 529, 530, 531, 532),  # fax, palette, JPEG
    }
)  # fmt: skip
"""The entries that a decoder needs."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_PREMULTIPLIED, _UNSPECIFIED = 1, 0
_DIFFERENCES = 2
_PLAIN, _LZW, _OLD_JPEG, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACK_BITS = 1, 5, 6, 7, 8, 32946, 32773
_GREATEST_COMPRESSIONS = {
    _PLAIN: MOST_CUT, _LZW: 4096, _OLD_JPEG: 1536, _JPEG: 1536, _DEFLATE: 1032, _OLD_DEFLATE: 1032,
    _PACK_BITS: 64,
}  # fmt: skip
_LONGEST_FILE = 2**32 - 2**20  # offsets have 32 bits, and the new directory stands behind


@dataclass(frozen=True)
class TiffContents(Contents):
    """A TIFF, taken apart.

    Attributes:
        entries: the entries that a decoder needs.
        chunks: the strips or tiles.
        rows: how many rows are there.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    chunks: Chunks = field(default_factory=Chunks)
    rows: int = 0

    def decode(self, path: Path) -> Decoded:
        decoded = self._decode_sixteen_bits(path) if self.bits == 16 else self._decode_eight(path)
        missing = self.size[1] - len(decoded.samples)
        if missing <= 0:
            return decoded
        black = np.zeros((missing, *decoded.samples.shape[1:]), decoded.samples.dtype)
        return decoded._replace(samples=np.concatenate([decoded.samples, black]))

    def _decode_eight(self, path: Path) -> Decoded:
        entries = dict(self.entries)
        if self.rows < self.size[1]:
            entries |= self._pack_chunks(self.chunks.select(self.rows))
        try:
            return Contents.decode(replace(self, data=self._pack_file(entries)), path)
        except SyntaxError as error:
            raise ImageError(
                f"{path} is a TIFF that cannot be read ({self._describe()}). Convert it to PNG, "
                "JPEG, WebP or TIFF, with 8 or 16 bits per sample, grey or RGB."
            ) from error

    def _decode_sixteen_bits(self, path: Path) -> Decoded:
        """Decode 16-bit samples, each as a pixel of its own: Pillow reads 16-bit grey only."""
        photometric, count = self._number(_PHOTOMETRIC, 0), self._number(_SAMPLES, 1)
        if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            kind = "mode 'CMYK'" if photometric == _CMYK else f"photometric {photometric}"
            raise ImageError(
                f"{path} holds 16-bit samples of {kind}; expected grey or RGB. Convert it first."
            )
        colours = 3 if photometric == _RGB else 1
        if count < colours or self._number(_PREDICTOR, 1) not in (1, _DIFFERENCES):
            raise ImageError(f"{path} is a TIFF that cannot be read ({self._describe()}).")
        if self.chunks.planes > 1:
            planes = [self._decode_samples(1, plane) for plane in range(min(count, colours + 1))]
            samples = np.concatenate(planes, axis=-1)
        else:
            samples = self._decode_samples(count, 0)
        return self._apply_entries(samples, colours)

    def _decode_samples(self, count: int, plane: int) -> np.ndarray:
        """Decode the chunks of one plane, of `count` samples per pixel, to uint16 [H, W, C]."""
        width = self.size[0]
        entries = {
            tag: self.entries[tag] for tag in (_COMPRESSION, _FILL_ORDER) if tag in self.entries
        }
        entries |= self._pack_chunks(self.chunks.select(self.rows, plane))
        entries[_WIDTH] = self._pack(width * count)
        entries |= {
            tag: self._pack(n) for tag, n in ((_BITS, 16), (_PHOTOMETRIC, 1), (_SAMPLES, 1))
        }
        if self.chunks.are_tiles:
            entries[TILE_WIDTH] = self._pack(self.chunks.columns * count)
        with pillow_decoding.open_image("TIFF", self._pack_file(entries)) as image:
            pillow_decoding.load(image)
            samples = np.asarray(image).astype(np.uint16, copy=False)
        samples = samples.reshape(-1, width, count)
        if self._number(_PREDICTOR, 1) != _DIFFERENCES:
            return samples
        step = self.chunks.columns
        parts = [samples[:, at : at + step] for at in range(0, width, step)]
        return np.concatenate([np.cumsum(p, axis=1, dtype=np.uint16) for p in parts], axis=1)

    def _apply_entries(self, samples: np.ndarray, colours: int) -> Decoded:
        """Make 0 black and alpha straight, as the entries require."""
        extra = read_numbers(self.entries.get(_EXTRA), find_byte_order(self.data))
        alpha, picture = samples[..., colours : colours + 1], samples[..., :colours]
        if self._number(_PHOTOMETRIC, 0) == _WHITE_IS_ZERO:
            picture = 65535 - picture
        # A channel of no stated kind, such as a saved selection, is not transparency.
        is_alpha = alpha.size and (extra[:1] or (2,))[0] != _UNSPECIFIED
        lost = samples.shape[-1] > colours + bool(is_alpha)
        if is_alpha and extra[:1] == (_PREMULTIPLIED,):
            scaled = picture.astype(np.float64) * (65535 / np.maximum(alpha, 1))
            picture = scaled.round().clip(0, 65535).astype(np.uint16)
        if is_alpha:
            picture = np.concatenate([picture, alpha], axis=-1)
        return Decoded(picture, damage=self.damage, lost=("a TIFF's extra channels",) * lost)

    def _pack_chunks(self, numbers: list[int]) -> dict[int, Entry]:
        """Make the entries for these strips or tiles alone, and for the rows that they hold."""
        chunks, tiled = self.chunks, self.chunks.are_tiles
        offsets = [chunks.offsets[i] for i in numbers]
        entries = {
            _HEIGHT: self._pack(self.rows),
            TILE_OFFSETS if tiled else STRIP_OFFSETS: self._pack(*offsets),
            TILE_LENGTHS if tiled else STRIP_LENGTHS: self._pack(
                *(chunks.lengths[i] for i in numbers)
            ),
        }
        if tiled:
            sides = {TILE_WIDTH: chunks.columns, TILE_HEIGHT: chunks.rows}
            return entries | {tag: self._pack(side) for tag, side in sides.items()}
        return entries | {ROWS_PER_STRIP: self._pack(chunks.rows)}

    def _pack_file(self, entries: dict[int, Entry]) -> bytes:
        """Return the file with a new directory of these entries at its end."""
        order, start = find_byte_order(self.data), len(self.data) + len(self.data) % 2
        head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}L", start)
        filling = bytes(start - len(self.data))
        return b"".join([head, self.data[8:], filling, pack_directory(order, entries, start)])

    def _pack(self, *numbers: int) -> Entry:
        kind = SHORT if all(number < 2**16 for number in numbers) else LONG
        return pack_entry(find_byte_order(self.data), kind, *numbers)

    def _number(self, tag: int, default: int) -> int:
        return (*read_numbers(self.entries.get(tag), find_byte_order(self.data)), default)[0]

    def _describe(self) -> str:
        return (
            f"{self._number(_BITS, 1)} bits, {self._number(_SAMPLES, 1)} samples per pixel, "
            f"photometric {self._number(_PHOTOMETRIC, 0)}, compression "
            f"{self._number(_COMPRESSION, 1)}"
        )


def arrange(
    data: bytes,
    directory: dict[int, Entry],
    path: Path,
    *,
    metadata: Metadata,
    lost: tuple[str, ...],
) -> TiffContents:
    """Find the pixels that a directory describes.

    Raises:
        ImageError: sides are missing, no row is whole, or the file is longer than a TIFF can be.
    """
    order = find_byte_order(data)

    def number(tag: int, default: int) -> int:
        return (*read_numbers(directory.get(tag), order), default)[0]

    size = number(_WIDTH, 0), number(_HEIGHT, 0)
    if min(size) < 1:
        raise ImageError(f"{path} is damaged: the TIFF states no width or no height.")
    if len(data) > _LONGEST_FILE:
        raise ImageError(f"{path} is a TIFF of more than 4 GB. Compress it, or cut it into parts.")
    bits = set(read_numbers(directory.get(_BITS), order)) or {1}
    formats = set(read_numbers(directory.get(_SAMPLE_FORMAT), order)) or {1}
    count, compression = number(_SAMPLES, 1), number(_COMPRESSION, _PLAIN)
    stride = -(-size[0] * count * max(bits) // 8)
    chunks, rows = Chunks(), size[1]
    if compression != _OLD_JPEG:
        chunks = find_chunks(directory, order, size, stride, count)
        rows = count_rows(data, chunks, size[1], stride if compression == _PLAIN else 0)
    if not rows:
        raise ImageError(
            f"{path} is cut off or damaged: the TIFF's pixels lie behind its end at {len(data)} "
            "bytes. Copy the file again."
        )
    damage = ""
    if rows < size[1]:
        damage = f"is cut off: {describe_missing_rows(size[1] - rows, size[1])} and stay black"
    available = min(sum(chunks.lengths) or len(data), len(data))
    most = _GREATEST_COMPRESSIONS.get(compression)
    return TiffContents(
        "TIFF",
        data,
        size,
        metadata=replace(metadata, stored_size=size),
        bits=16 if bits == {16} and formats == {1} else 8,
        damage=damage,
        lost=lost,
        needed_bytes=stride * size[1],
        most_bytes=most * available if most else None,
        entries={tag: _shorten(directory[tag], order) for tag in LAYOUT & set(directory)},
        chunks=chunks,
        rows=rows,
    )


def _shorten(entry: Entry, order: str) -> Entry:
    """Return the entry with 32-bit numbers instead of BigTIFF's 64-bit ones."""
    if entry.kind not in (16, 18):
        return entry
    numbers = [min(n, 2**32 - 1) for n in read_numbers(entry, order)]
    return pack_entry(order, LONG, *numbers)
