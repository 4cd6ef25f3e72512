"""Kernels for CPUs: what lies between GPEN's convolutions, each pixel read and written once.

Pixels are channels_last; `simd` says how a kernel is written, `cpu_launch` runs them. They are
given the index of what they compute; `count` is of channels, a `pitch` leads to the next row and a
`step` to the next pixel.
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
    """Inputs times the style, at Winograd's points: x [height, …, count] to [tiles, 36, count].

    Args:
        zeros: a row of x, which follows its last one.
    """
    rows = rows_of_tile(code, tile, 6, x, zeros, height, across, count, pitch)
    out += tile * count * 36
    for c in code.channels(count):
        factor = (style + c).load()
        pixels = [[(row + (count * j + c)).load() * factor for j in range(6)] for row in rows]
        for k, value in enumerate(_both_ways(_evaluate, pixels)):
            (out + (count * k + c)).store(value)


def from_winograd(
    code: Code, tile: Index, x: Pixels, gain: Floats, bias: Floats, noise_bias: Floats,
    noise_gain: Floats, noise: Pixels, out: Pixels, spare: Pixels, height: Index, across: Index,
    count: Index, total: Index, noise_pitch: Index, out_pitch: Index,
) -> None:  # fmt: skip
    """4×4 outputs activated, of x [tiles, 36, count], and their noise [height, 4·across, total].

    Into out [height, 4·across, 2·total]: the noise follows total channels later.

    Args:
        spare: a row of out, written instead of those below its last one.
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
        activate = _activation(gain + c, bias + c, noise_bias + c, factor)
        products = [[(x + (count * (6 * i + j) + c)).load() for j in range(6)] for i in range(6)]
        for k, value in enumerate(_both_ways(_interpolate, products)):
            own_noise, to = rows[k // 4]
            own_noise += total * (k % 4) + c
            to += total * (2 * (k % 4)) + c
            activate(value, own_noise, to, total)


def activate(
    code: Code, row: Index, x: Pixels, gain: Floats, bias: Floats, noise_bias: Floats,
    noise_gain: Floats, noise: Pixels, out: Pixels, width: Index, count: Index, pitch: Index,
    noise_pitch: Index, out_pitch: Index,
) -> None:  # fmt: skip
    """A row of x times gain, plus bias, and of its noise, activated: to [width, 2·count]."""
    x += row * pitch
    noise += row * noise_pitch
    out += row * out_pitch
    factor = noise_gain.spread()
    for c in code.channels(count):
        activate = _activation(gain + c, bias + c, noise_bias + c, factor)
        for column in code.range(0, width):
            at = column * count + c
            activate((x + at).load(), noise + at, out + (column * count + at), count)


def blur(
    code: Code, row: Index, x: Pixels, zeros: Pixels, taps: Floats, out: Pixels,
    height: Index, width: Index, count: Index, pitch: Index,
) -> None:  # fmt: skip
    """FIR of x [height, width, count] padded by 2 on every side.

    A row of [height + 1, width + 1, count].
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
    """FIR of x [height, width, count] padded by 1 across, times gain, plus bias; and the noise.

    Activated: a row of width − 1 pixels of 2·count channels. Row 0 reads rows first − 3 … first.

    Args:
        before: the three rows before x.
        zeros: a row of x, which follows its last one.
    """
    noise += row * noise_pitch
    out += row * out_pitch
    rows: list[Pixels] = []
    for i in range(4):
        y = row + first + (i - 3)
        there = code.select(y + 3, 3, before + (y + 3) * before_pitch, zeros)
        rows.append(code.select(y, height, x + y * pitch, there))
    factor = noise_gain.spread()
    for c in code.channels(count):
        activate = _activation(gain + c, bias + c, noise_bias + c, factor)
        for column, value in _filter(code, rows, c, taps, width, count, margin=1):
            at = column * count + c
            activate(value, noise + at, out + (column * count + at), count)


def add_rgb(
    code: Code, row: Index, x: Pixels, weight: Floats, bias: Floats, below: Floats, out: Floats,
    width: Index, count: Index, pitch: Index, below_pitch: Index, below_step: Index,
    below_plane: Index, out_pitch: Index, out_step: Index, out_plane: Index,
) -> None:  # fmt: skip
    """RGB of a row of x [width, count], plus bias, plus that of the levels below.

    Args:
        weight: [count / LANES, 3, LANES]; a plane leads to the next of R, G and B.
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
            under = (below + (column * below_step + below_plane * k)).load_one()
            to = out + (column * out_step + out_plane * k)
            to.store_one(sums[k].total() + (under + shifts[k]))


def rows_of_tile(
    code: Code, tile: Index, side: int, x: Pixels, zeros: Pixels, height: Index, across: Index,
    count: Index, pitch: Index,
) -> list[Pixels]:  # fmt: skip
    """Where the rows of a tile begin, `side` of them, the tiles being four apart.

    Args:
        zeros: a row of x [height, …, count], which follows its last one.
    """
    top, left = tile // across * 4, tile % across * 4
    return [
        code.select(top + i, height, x + (top + i) * pitch, zeros) + left * count
        for i in range(side)
    ]


def _activation(
    gain: Floats, bias: Floats, noise_bias: Floats, noise_gain: Vector
) -> Callable[[Vector, Pixels, Pixels, Index], None]:
    """Activates a vector, and its noise, which is stored so many channels later."""
    scale, shift, noise_shift = gain.load(), bias.load(), noise_bias.load()

    def activate(value: Vector, noise: Pixels, to: Pixels, later: Index) -> None:
        to.store((value * scale + shift).leaky_relu(SLOPE))
        (to + later).store((noise.load() * noise_gain + noise_shift).leaky_relu(SLOPE))

    return activate


def _filter(
    code: Code, rows: Sequence[Pixels], c: Index, taps: Floats, width: Index, count: Index,
    *, margin: int,
) -> Iterator[tuple[Index, Vector]]:  # fmt: skip
    """A row of a FIR of 4×4 taps: columns and sums, LANES channels from c on.

    Args:
        rows: the four that it reads.
        margin: columns of zeros before them and after them.
    """
    factors = [[(taps + (4 * i + j)).spread() for i in range(4)] for j in range(4)]

    def add(column: Index | int, sums: list[Vector]) -> Vector:
        """Add a column to what three outputs have so far; gives the one that it completes."""
        pixels = [(row + (count * column + c)).load() for row in rows]
        shares = [_dot(pixels, factor) for factor in factors]
        complete = sums[0] + shares[3]
        sums[:] = [sums[1] + shares[2], sums[2] + shares[1], shares[0]]
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


def _both_ways(transform: Callable[[Vectors], Vectors], tile: Sequence[Vectors]) -> list[Vector]:
    """Transform the columns, then the rows; row after row."""
    columns = [transform(column) for column in zip(*tile, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in transform(row)]


def _evaluate(x: Vectors) -> Vectors:
    """Values of six inputs at 0, ±P, ±Q and infinity."""
    odd, even = x[3] - 2 * x[1], x[4] - 2 * x[2]
    first = (even + P * odd, even - P * odd)
    odd, even = x[3] - 0.5 * x[1], x[4] - 0.5 * x[2]
    second = (even + Q * odd, even - Q * odd)
    return (x[0] + x[4] - 2.5 * x[2], *first, *second, x[1] + x[5] - 2.5 * x[3])


def _interpolate(x: Vectors) -> Vectors:
    """Four outputs from six products."""
    low, high = x[1] + x[2], x[3] + x[4]
    even = (x[0] + Q * (low + 0.5 * high), P * (low + 2 * high))
    low, high = x[1] - x[2], x[3] - x[4]
    return (even[0], low + high, even[1], x[5] + 0.5 * low + 2 * high)
