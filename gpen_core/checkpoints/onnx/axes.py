"""Follow where the rows and columns of a feature map go, while a graph reshapes and pads it.

Each axis of a tensor is a list of places in some axes of a base. Reshapes, transpositions, slices,
zero padding and zero insertion only rearrange these lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .protobuf import UnreadableGraph


class Unfit(UnreadableGraph):
    """A node computes something that no GPEN has; the message says what was expected there."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a rearranged tensor.

    Attributes:
        sources: number and size of each axis of the base that is merged here, the slowest first.
        index: for each position, the place in the merged sources; -1 where there is a zero.
    """

    sources: tuple[tuple[int, int], ...]
    index: np.ndarray

    @property
    def is_whole(self) -> bool:
        """Whether the axis goes through its sources once, in order."""
        size = math.prod(size for _, size in self.sources)
        return len(self.index) == size and bool((self.index == np.arange(size)).all())


UNIT = Axis((), np.zeros(1, np.int64))


def whole_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes of a base itself."""
    return tuple(Axis(((i, n),), np.arange(n)) for i, n in enumerate(shape))


def _merge(axes: Sequence[Axis]) -> Axis:
    merged = UNIT
    for axis in axes:
        size = math.prod(size for _, size in axis.sources)
        first, second = merged.index[:, None], axis.index[None]
        index = np.where((first < 0) | (second < 0), -1, first * size + second)
        merged = Axis(merged.sources + axis.sources, index.reshape(-1))
    return merged


def _split(axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    parts = []
    for i in range(len(sizes) - 1):
        first, axis = _split_in_two(axis, sizes[i], math.prod(sizes[i + 1 :]))
        parts.append(first)
    return [*parts, axis]


def _split_in_two(axis: Axis, rows: int, columns: int) -> tuple[Axis, Axis]:
    table = axis.index.reshape(rows, columns)
    for cut in range(len(axis.sources) + 1):
        size = math.prod(size for _, size in axis.sources[cut:])
        used_rows = table.max(axis=1) >= 0
        used_columns = table.max(axis=0) >= 0
        first = np.where(used_rows, table.max(axis=1) // size, -1)
        second = np.where(used_columns, table.max(axis=0) % size, -1)
        both = used_rows[:, None] & used_columns[None]
        if (np.where(both, first[:, None] * size + second[None], -1) == table).all():
            return Axis(axis.sources[:cut], first), Axis(axis.sources[cut:], second)
    raise Unfit(f"a shape that keeps the axes apart, not one that splits {rows * columns}")


def reshape_axes(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes after a reshape to `shape`."""
    old, new, result = list(axes), list(shape), []
    while old or new:
        group = [old.pop(0)] if old else []
        sizes = [new.pop(0)] if new else []
        have, want = math.prod(len(axis.index) for axis in group), math.prod(sizes)
        while have != want:
            if have < want and old:
                group.append(old.pop(0))
                have *= len(group[-1].index)
            elif want < have and new:
                sizes.append(new.pop(0))
                want *= sizes[-1]
            else:
                raise Unfit(f"a tensor that has the shape {list(shape)} when it is reshaped")
        if sizes:
            result += _split(_merge(group), sizes)
    return tuple(result)


def take_axis(axes: Sequence[Axis], axis: int, places: np.ndarray) -> tuple[Axis, ...]:
    """Return the axes after choosing `places` of one of them; a place of -1 is a zero."""
    index = np.where(places < 0, -1, axes[axis].index[places])
    return (*axes[:axis], Axis(axes[axis].sources, index), *axes[axis + 1 :])


@dataclass(frozen=True)
class Spacing:
    """How a row lies in a padded one: zeros before, the distance of its pixels, zeros after."""

    before: int
    step: int
    after: int

    def pad(self, before: int, after: int) -> Spacing:
        """Return the spacing after more padding."""
        return Spacing(self.before + before, self.step, self.after + after)


def read_spacing(axis: Axis) -> Spacing:
    """Return how the pixels of a source lie in this axis.

    Raises:
        Unfit: some are missing, or they do not lie at equal distances.
    """
    size = math.prod(size for _, size in axis.sources)
    places = np.flatnonzero(axis.index >= 0)
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if len(places) != size or (axis.index[places] != np.arange(size)).any():
        raise Unfit("all rows and columns of a feature map, in order")
    if (np.diff(places) != step).any():
        raise Unfit("rows and columns at equal distances")
    return Spacing(int(places[0]), step, len(axis.index) - 1 - int(places[-1]))
