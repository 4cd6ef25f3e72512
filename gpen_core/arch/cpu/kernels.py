"""CPU kernels for the steps between GPEN's convolutions.

Each kernel does the work of several torch operations in one pass over the pixels. `simd` explains
how a kernel is written, and `launch` runs it. A kernel computes one item, a row or a tile, whose
index is its second parameter. Images are channels_last and given without the batch axis. `count` is
their number of channels, `pitch` the stride from row to row, and `step` from pixel to pixel; both
count numbers, not bytes.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence

from ..ops import SLOPE
from .instructions import LANES
from .points import P, Q
from .simd import Code, Floats, Index, Pixels, Vector

Vectors = Sequence[Vector]


def to_winograd(
    code: Code, tile: Index, x: Pixels, zeros: Pixels, style: Floats, out: Pixels, height: Index,
    across: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Transform a tile of 6×6 inputs, times the style, for Winograd's products.

    It maps x [height, …, count] to out [tiles, 36, count].

    Args:
        zeros: a row of zeros, read below the last row of x.
        across: tiles in a row of tiles.
    """
    rows = find_tile_rows(code, tile, 6, x, zeros, height, across, count, pitch)
    out += tile * count * 36
    for c in code.channels(count):
        factor = (style + c).load()
        pixels = [[(row + (count * j + c)).load() * factor for j in range(6)] for row in rows]
        for k, value in enumerate(_transform_both_axes(_transform_inputs, pixels)):
            (out + (count * k + c)).store(value)


def from_winograd(
    code: Code, tile: Index, x: Pixels, gain: Floats, bias: Floats, noise_bias: Floats,
    noise_gain: Floats, noise: Pixels, out: Pixels, spare: Pixels, height: Index, across: Index,
    count: Index, total: Index, noise_pitch: Index, out_pitch: Index,
) -> None:  # fmt: skip
    """Transform a tile of products back to 4×4 outputs, activate them, and append their noise.

    It maps products x [tiles, 36, count] and noise [height, 4·across, total] into
    out [height, 4·across, 2·total]. The noise comes `total` channels after its outputs.

    Args:
        spare: a row that is written instead of rows below the last one of out.
        across: tiles in a row of tiles.
        total: channels of the layer, of which `count` are computed here.
    """
    x += tile * count * 36
    top, left = tile // across * 4, tile % across * 4
    rows: list[tuple[Pixels, Pixels]] = []
    for i in range(4):
        row = code.minimum(top + i, height - 1)
        to = code.select(top + i, height, out + row * out_pitch, spare)
        rows.append((noise + (row * noise_pitch + left * total), to + left * total * 2))
    factor = noise_gain.spread()
    for c in code.channels(count):
        activate = _make_activation(gain + c, bias + c, noise_bias + c, factor)
        products = [[(x + (count * (6 * i + j) + c)).load() for j in range(6)] for i in range(6)]
        for k, value in enumerate(_transform_both_axes(_transform_products, products)):
            noise_row, out_row = rows[k // 4]
            noise_row += total * (k % 4) + c
            out_row += total * (2 * (k % 4)) + c
            activate(value, noise_row, out_row, total)


def activate(
    code: Code, row: Index, x: Pixels, gain: Floats, bias: Floats, noise_bias: Floats,
    noise_gain: Floats, noise: Pixels, out: Pixels, width: Index, count: Index, pitch: Index,
    noise_pitch: Index, out_pitch: Index,
) -> None:  # fmt: skip
    """Activate a row of x [width, count] and of its noise into out [width, 2·count]."""
    x += row * pitch
    noise += row * noise_pitch
    out += row * out_pitch
    factor = noise_gain.spread()
    for c in code.channels(count):
        activate = _make_activation(gain + c, bias + c, noise_bias + c, factor)
        for column in code.range(0, width):
            at = column * count + c
            activate((x + at).load(), noise + at, out + (column * count + at), count)


def blur(
    code: Code, row: Index, x: Pixels, zeros: Pixels, taps: Floats, out: Pixels,
    height: Index, width: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """Apply the FIR, padded by 2 on every side, to x [height, width, count].

    It writes a row of out [height + 1, width + 1, count].
    """
    out += row * (width + 1) * count
    rows = [
        code.select(row + (i - 2), height, x + (row + (i - 2)) * pitch, zeros) for i in range(4)
    ]
    for c in code.channels(count):
        for column, value in _filter(code, rows, c, taps, width, count, margin=2):
            (out + (column * count + c)).store(value)


def upsample(
    code: Code, row: Index, x: Pixels, before: Pixels, zeros: Pixels, taps: Floats, gain: Floats,
    bias: Floats, noise_bias: Floats, noise_gain: Floats, noise: Pixels, out: Pixels,
    first: Index, height: Index, width: Index, count: Index, pitch: Index, before_pitch: Index,
    noise_pitch: Index, out_pitch: Index,
) -> None:  # fmt: skip
    """Apply the FIR after a transposed convolution, activate, and append the noise.

    It maps x [height, width, count], padded by 1 to the left and right, to a row of
    out [height, width − 1, 2·count]. Row r of the result reads rows r + first − 3 … r + first of x.

    Args:
        before: the three rows before x.
        zeros: a row of zeros, read below the last row of x.
    """
    noise += row * noise_pitch
    out += row * out_pitch
    rows: list[Pixels] = []
    for i in range(4):
        y = row + first + (i - 3)
        outside = code.select(y + 3, 3, before + (y + 3) * before_pitch, zeros)
        rows.append(code.select(y, height, x + y * pitch, outside))
    factor = noise_gain.spread()
    for c in code.channels(count):
        activate = _make_activation(gain + c, bias + c, noise_bias + c, factor)
        for column, value in _filter(code, rows, c, taps, width, count, margin=1):
            at = column * count + c
            activate(value, noise + at, out + (column * count + at), count)


def add_rgb(
    code: Code, row: Index, x: Pixels, weight: Floats, bias: Floats, below: Floats, out: Floats,
    width: Index, count: Index, pitch: Index, below_pitch: Index, below_step: Index,
    below_plane: Index, out_pitch: Index, out_step: Index, out_plane: Index,
) -> None:  # fmt: skip
    """Compute RGB of a row of x [width, count], and add the bias and the RGB of the levels below.

    Args:
        weight: [count / LANES, 3, LANES], as `launch.prepare_rgb_weight` returns it.
        below_plane, out_plane: the strides between R, G and B.
    """
    x += row * pitch
    below += row * below_pitch
    out += row * out_pitch
    last = count - LANES
    shifts = [(bias + k).load_one() for k in range(3)]
    for column in code.range(0, width):
        pixel = x + column * count
        sums = [code.zero()] * 3
        for first, partial in code.loop(0, count, sums, LANES):
            values = (pixel + code.minimum(first, last)).load()
            for k in range(3):
                partial[k] = partial[k] + values * (weight + (first * 3 + LANES * k)).load()
        for k in range(3):
            rgb_below = (below + (column * below_step + below_plane * k)).load_one()
            pixel_out = out + (column * out_step + out_plane * k)
            pixel_out.store_one(sums[k].total() + (rgb_below + shifts[k]))


def find_tile_rows(
    code: Code, tile: Index, side: int, x: Pixels, zeros: Pixels, height: Index, across: Index,
    count: Index, pitch: Index,
) -> list[Pixels]:  # fmt: skip
    """Return the addresses of a tile's `side` rows in x [height, …, count]; tiles are four apart.

    Args:
        zeros: a row of zeros, read below the last row of x.
        across: tiles in a row of tiles.
    """
    top, left = tile // across * 4, tile % across * 4
    return [
        code.select(top + i, height, x + (top + i) * pitch, zeros) + left * count
        for i in range(side)
    ]


def _make_activation(
    gain: Floats, bias: Floats, noise_bias: Floats, noise_gain: Vector
) -> Callable[[Vector, Pixels, Pixels, Index], None]:
    """Write code that loads the factors of LANES channels; return a function that activates.

    The function stores an activated vector at `to`, and its activated noise `later` channels on.
    """
    scale, shift, noise_shift = gain.load(), bias.load(), noise_bias.load()

    def activate(value: Vector, noise: Pixels, to: Pixels, later: Index) -> None:
        to.store((value * scale + shift).leaky_relu(SLOPE))
        (to + later).store((noise.load() * noise_gain + noise_shift).leaky_relu(SLOPE))

    return activate


def _filter(
    code: Code, rows: Sequence[Pixels], c: Index, taps: Floats, width: Index, count: Index,
    *, margin: int,
) -> Iterator[tuple[Index, Vector]]:  # fmt: skip
    """Apply a FIR of 4×4 taps to LANES channels from c on; yield a row's columns and values.

    Args:
        rows: the four rows that it reads.
        margin: columns of zeros before and after the rows.
    """
    factors = [[(taps + (4 * i + j)).spread() for i in range(4)] for j in range(4)]

    def add(column: Index | int, sums: list[Vector]) -> Vector:
        """Add a column to the sums of three unfinished outputs; return the one it completes."""
        pixels = [(row + (count * column + c)).load() for row in rows]
        parts = [_dot(pixels, factor) for factor in factors]
        complete = sums[0] + parts[3]
        sums[:] = [sums[1] + parts[2], sums[2] + parts[1], parts[0]]
        return complete

    start = 3 - margin
    sums = [code.zero()] * 3
    for column in range(start):
        add(column, sums)
    for column, partial in code.loop(start, width, sums):
        yield column - start, add(column, partial)
    for column in range(margin):
        yield width - start + column, sums[column]


def _dot(x: Vectors, y: Vectors) -> Vector:
    return functools.reduce(operator.add, [a * b for a, b in zip(x, y, strict=True)])


def _transform_both_axes(
    transform: Callable[[Vectors], Vectors], tile: Sequence[Vectors]
) -> list[Vector]:
    """Transform a tile's columns, then its rows; return the values row after row."""
    columns = [transform(column) for column in zip(*tile, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in transform(row)]


def _transform_inputs(x: Vectors) -> Vectors:
    """Transform six inputs along an axis for the products at 0, ±P, ±Q and infinity."""
    odd, even = x[3] - 2 * x[1], x[4] - 2 * x[2]
    first = (even + P * odd, even - P * odd)
    odd, even = x[3] - 0.5 * x[1], x[4] - 0.5 * x[2]
    second = (even + Q * odd, even - Q * odd)
    return (x[0] + x[4] - 2.5 * x[2], *first, *second, x[1] + x[5] - 2.5 * x[3])


def _transform_products(x: Vectors) -> Vectors:
    """Transform six products along an axis to four outputs."""
    low, high = x[1] + x[2], x[3] + x[4]
    even = (x[0] + Q * (low + 0.5 * high), P * (low + 2 * high))
    low, high = x[1] - x[2], x[3] - x[4]
    return (even[0], low + high, even[1], x[5] + 0.5 * low + 2 * high)
