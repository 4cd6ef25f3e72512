"""CPU kernels that transform inputs for the products of `polyphase`, and the products back.

`polyphase` explains the phases and `kernels` the parameters. Inputs and products of a phase lie in
one buffer, tile after tile: `both` [tiles, 5 rows, 5 columns, count] is evaluated over the row and
the column index, `rows` [tiles, 4 columns, 5, count] over the row index, `columns` [tiles, 4 rows,
5, count] over the column index, and `none` [tiles, 4 rows, 4 columns, count] over neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..ops import SLOPE
from .kernels import find_tile_rows
from .points import PRODUCTS, A, B
from .simd import Code, Floats, Index, Pixels, Vector

Vectors = Sequence[Vector]


def to_up_phases(
    code: Code, tile: Index, x: Pixels, zeros: Pixels, style: Floats, both: Pixels, rows: Pixels,
    columns: Pixels, none: Pixels, height: Index, across: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Transform a tile of 4×4 inputs, times the style, for a transposed convolution.

    It reads x [height, 4·across, count].

    Args:
        zeros: a row of zeros, read below the last row of x.
    """
    lines = find_tile_rows(code, tile, 4, x, zeros, height, across, count, pitch)
    both, rows, columns, none = _seek_tile(tile, count, both, rows, columns, none)
    for c in code.channels(count):
        factor = (style + c).load()
        pixels = [[(line + (count * j + c)).load() * factor for j in range(4)] for line in lines]
        evaluated = [_evaluate(column) for column in zip(*pixels, strict=True)]
        _store(none, count, c, *pixels)
        _store(rows, count, c, *evaluated)
        _store(columns, count, c, *(_evaluate(row) for row in pixels))
        _store(both, count, c, *(_evaluate(row) for row in zip(*evaluated, strict=True)))


def from_up_phases(
    code: Code, tile: Index, both: Pixels, rows: Pixels, columns: Pixels, none: Pixels,
    zeros: Pixels, out: Pixels, down: Index, across: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Transform products back to 8×8 outputs of a transposed convolution.

    There are (down + 1) × (across + 1) tiles of outputs, because the last inputs add to a further
    row and column.

    Args:
        zeros: [25, count], read instead of the products of tiles that do not exist.
    """
    i, j = tile // (across + 1), tile % (across + 1)
    out += i * pitch * 8 + j * count * 8

    def find(phase: Pixels, size: int, i: Index, j: Index) -> Pixels:
        """Return the first product of tile (i, j)."""
        place = phase + (i * across + j) * count * size
        return code.select(i, down, code.select(j, across, place, zeros), zeros)

    tiles = (
        find(both, 25, i, j),
        find(both, 25, i - 1, j),
        find(both, 25, i, j - 1),
        find(both, 25, i - 1, j - 1),
        find(rows, 20, i, j),
        find(rows, 20, i - 1, j),
        find(columns, 20, i, j),
        find(columns, 20, i, j - 1),
        find(none, 16, i, j),
    )
    for c in code.channels(count):
        even, above, left, diagonal, odd_x, odd_x_above, odd_y, odd_y_left, odd = (
            _Products(tile + c, count) for tile in tiles
        )
        columns_of_even = [_interpolate(even.every_fifth(x), above.at(20 + x)) for x in range(5)]
        before = _interpolate(left.every_fifth(4), diagonal.at(24))
        columns_of_odd = [_interpolate(odd_x.five(x), odd_x_above.at(5 * x + 4)) for x in range(4)]
        corner = out + c
        for y in range(4):
            row = corner + pitch * (2 * y)
            values = _interpolate([column[y] for column in columns_of_even], before[y])
            for x in range(4):
                (row + count * (2 * x)).store(values[x])
                (row + count * (2 * x + 1)).store(columns_of_odd[x][y])
            row += pitch
            values = _interpolate(odd_y.five(y), odd_y_left.at(5 * y + 4))
            for x in range(4):
                (row + count * (2 * x)).store(values[x])
                (row + count * (2 * x + 1)).store(odd.at(4 * y + x))


def to_down_phases(
    code: Code, tile: Index, x: Pixels, both: Pixels, rows: Pixels, columns: Pixels, none: Pixels,
    across: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Transform a tile of 9×9 inputs for a convolution of stride 2; tiles are eight apart."""
    corner = x + (tile // across * pitch + tile % across * count) * 8
    both, rows, columns, none = _seek_tile(tile, count, both, rows, columns, none)
    for c in code.channels(count):
        pixels = [
            [(corner + (pitch * i + count * j + c)).load() for j in range(9)] for i in range(9)
        ]
        evaluated = [_transpose_interpolate([row[j] for row in pixels[::2]]) for j in range(9)]
        odd = pixels[1::2]
        _store(none, count, c, *(row[1::2] for row in odd))
        _store(rows, count, c, *evaluated[1::2])
        _store(columns, count, c, *(_transpose_interpolate(row[::2]) for row in odd))
        _store(
            both, count, c,
            *(_transpose_interpolate(row) for row in zip(*evaluated[::2], strict=True)),
        )  # fmt: skip


def from_down_phases(
    code: Code, tile: Index, both: Pixels, rows: Pixels, columns: Pixels, none: Pixels,
    bias: Floats, out: Pixels, across: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Transform products back to 4×4 outputs of a convolution of stride 2.

    It adds the bias and applies leaky ReLU.
    """
    out += (tile // across * pitch + tile % across * count) * 4
    both, rows, columns, none = _seek_tile(tile, count, both, rows, columns, none)
    for c in code.channels(count):
        shift, corner = (bias + c).load(), out + c
        even, odd_x, odd_y, odd = (
            _Products(phase + c, count) for phase in (both, rows, columns, none)
        )
        columns_of_even = [_transpose_evaluate(even.every_fifth(x)) for x in range(5)]
        columns_of_odd = [_transpose_evaluate(odd_x.five(x)) for x in range(4)]
        for y in range(4):
            first = _transpose_evaluate([column[y] for column in columns_of_even])
            second = _transpose_evaluate(odd_y.five(y))
            for x in range(4):
                sums = (first[x] + second[x]) + (columns_of_odd[x][y] + odd.at(4 * y + x))
                (corner + (pitch * y + count * x)).store((sums + shift).leaky_relu(SLOPE))


class _Products(NamedTuple):
    """The products of one tile in one phase, for LANES channels."""

    first: Pixels
    channels: Index

    def at(self, place: int) -> Vector:
        """Load one product."""
        return (self.first + self.channels * place).load()

    def five(self, group: int) -> Vectors:
        """Load the five products of a column or of a row."""
        return [self.at(5 * group + k) for k in range(5)]

    def every_fifth(self, start: int) -> Vectors:
        """Load the five products of a column of 5×5."""
        return [self.at(5 * k + start) for k in range(5)]


def _seek_tile(tile: Index, count: Index, *phases: Pixels) -> list[Pixels]:
    """Return the addresses of a tile in the four phases."""
    return [phase + tile * count * size for phase, size in zip(phases, PRODUCTS, strict=True)]


def _store(to: Pixels, count: Index, c: Index, *groups: Iterable[Vector]) -> None:
    """Store vectors one after the other, `count` channels apart."""
    for k, value in enumerate(value for group in groups for value in group):
        (to + (count * k + c)).store(value)


def _evaluate(x: Vectors) -> Vectors:
    """Evaluate the polynomial of four inputs at ±A, ±B and infinity."""
    values: list[Vector] = []
    for point in (A, B):
        even, odd = x[0] + point**2 * x[2], point * x[1] + point**3 * x[3]
        values += [even + odd, even - odd]
    return [*values, x[3]]


def _transpose_evaluate(x: Vectors) -> Vectors:
    """Compute four outputs from five products: the transpose of `_evaluate`."""
    a, b, c, d = x[0] + x[1], x[2] + x[3], x[0] - x[1], x[2] - x[3]
    return [a + b, A * c + B * d, A**2 * a + B**2 * b, A**3 * c + B**3 * d + x[4]]


def _interpolate(x: Vectors, before: Vector) -> Vectors:
    """Interpolate: compute four outputs from five products.

    The divisor 2·(B² − A²) is in the weights already, see `polyphase.prepare`. The last product is
    the fifth output, which adds to the first output of the next tile.

    Args:
        before: the fifth output of the tile before.
    """
    a, b, c, d = x[0] + x[1], x[2] + x[3], x[0] - x[1], x[2] - x[3]
    return [
        before + B**2 * a - A**2 * b + (A * B) ** 2 * x[4],
        (B**2 / A) * c - (A**2 / B) * d,
        b - a - (A**2 + B**2) * x[4],
        (1 / B) * d - (1 / A) * c,
    ]


def _transpose_interpolate(x: Vectors) -> Vectors:
    """Transform five inputs for their products: the transpose of `_interpolate`."""
    even, odd = B**2 * x[0] - x[2], (B**2 / A) * x[1] - (1 / A) * x[3]
    even_b, odd_b = x[2] - A**2 * x[0], (1 / B) * x[3] - (A**2 / B) * x[1]
    last = x[4] + (A * B) ** 2 * x[0] - (A**2 + B**2) * x[2]
    return [even + odd, even - odd, even_b + odd_b, even_b - odd_b, last]
