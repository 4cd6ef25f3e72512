"""Find the strips or tiles that hold a TIFF's samples, and how many of them the file still has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tiff_tags import read_numbers

if TYPE_CHECKING:
    from ..tiff_tags import Entry

STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_LENGTHS, PLANES = 273, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS = 322, 323, 324, 325
_APART = 2  # one channel after the other


@dataclass(frozen=True)
class Chunks:
    """The strips or tiles that hold the samples.

    Attributes:
        offsets: of each in the file.
        lengths: bytes of each.
        rows: rows of pixels in each.
        columns: pixels in each row of one.
        across: how many lie beside each other.
        down: how many lie below each other.
        planes: how many times they cover the picture: once, or once for each channel.
        are_tiles: they are tiles.
    """

    offsets: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    rows: int = 1
    columns: int = 1
    across: int = 1
    down: int = 1
    planes: int = 1
    are_tiles: bool = False

    def select(self, rows: int, plane: int | None = None) -> list[int]:
        """Return the numbers of those that hold the first rows of one plane, or of all."""
        needed = self.across * -(-rows // self.rows)
        planes = range(self.planes) if plane is None else (plane,)
        return [p * self.across * self.down + i for p in planes for i in range(needed)]


def find_chunks(
    directory: dict[int, Entry], order: str, size: tuple[int, int], stride: int, count: int
) -> Chunks:
    """Find the strips or tiles that a directory names.

    Args:
        directory: the entries.
        order: their byte order.
        size: (width, height) of the picture.
        stride: bytes of a row of all samples, if they are not compressed.
        count: samples per pixel.
    """

    def numbers(tag: int) -> tuple[int, ...]:
        return read_numbers(directory.get(tag), order)

    are_tiles = bool(numbers(TILE_OFFSETS))
    columns = (*numbers(TILE_WIDTH), size[0])[0] if are_tiles else size[0]
    rows = (*numbers(TILE_HEIGHT if are_tiles else ROWS_PER_STRIP), size[1])[0]
    rows, columns = (max(1, rows if are_tiles else min(rows, size[1])), max(1, columns))
    planes = count if (*numbers(PLANES), 1)[0] == _APART else 1
    offsets = numbers(TILE_OFFSETS if are_tiles else STRIP_OFFSETS)
    lengths = numbers(TILE_LENGTHS if are_tiles else STRIP_LENGTHS)
    if len(lengths) < len(offsets):  # some writers leave them out where nothing is compressed
        lengths += (stride * rows // planes,) * (len(offsets) - len(lengths))
    return Chunks(
        offsets,
        lengths[: len(offsets)],
        rows,
        columns,
        across=-(-size[0] // columns),
        down=-(-size[1] // rows),
        planes=planes,
        are_tiles=are_tiles,
    )


def count_rows(data: bytes, chunks: Chunks, height: int, stride: int) -> int:
    """Count the rows from the top whose strips or tiles lie in the file.

    Args:
        data: the file.
        chunks: the strips or tiles.
        height: rows of the picture.
        stride: bytes of a row of samples that are not compressed; 0 if they are.
    """
    found = height
    for plane in range(chunks.planes):
        first = plane * chunks.across * chunks.down
        for number in range(first, first + chunks.across * chunks.down):
            top = (number - first) // chunks.across * chunks.rows
            if number >= len(chunks.offsets):
                found = min(found, top)
                break
            inside = len(data) - chunks.offsets[number]
            if inside < chunks.lengths[number]:
                is_plain = stride and chunks.planes == 1 and not chunks.are_tiles
                found = min(found, top + (max(0, inside) // stride if is_plain else 0))
                break
    return found
