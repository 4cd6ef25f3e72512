"""Values of the graph of a GPEN: feature maps, vectors, modulated weights and their energies.

The graph is followed for a single face. A constant is a `torch.Tensor`; every other value is one
of these classes. A reshape, a transposition and the choice of some places are three methods that
all of them have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from .axes import Axis, Spacing, Unfit, read_spacing, reshape_axes, take_axis, whole_axes
from .bases import ONE, ZERO, Base, Content, Part, Summed


@dataclass(frozen=True, eq=False)
class Map:
    """A feature map (C, H, W) or a vector (D,), rearranged.

    Attributes:
        content: its channels.
        axes: where each of its places is in the map that is not rearranged.
    """

    content: Content
    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, base: Base) -> Map:
        """Return a base as a value [1, …]."""
        axes = whole_axes(base.shape)
        return cls(
            (Part(base.shape[0], ((base, ONE),), ZERO),), reshape_axes(axes, (1, *base.shape))
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis.index) for axis in self.axes)

    @property
    def channels(self) -> int:
        """C or D."""
        return sum(part.channels for part in self.content)

    @property
    def is_vector(self) -> bool:
        """Whether it is a vector (D,)."""
        return len(self.content[0].terms[0][0].shape) == 1

    @property
    def is_plain(self) -> bool:
        """Whether nothing but axes of the size one was rearranged."""
        order = [number for axis in self.axes for number, _ in axis.sources]
        return order == sorted(order) and all(axis.is_whole for axis in self.axes)

    @property
    def channel_axis(self) -> int:
        """The axis that holds all channels and nothing else."""
        for i, axis in enumerate(self.axes):
            if [number for number, _ in axis.sources] == [0] and axis.is_whole:
                return i
        raise Unfit("a tensor that has its channels on one axis")

    def reshape(self, shape: Sequence[int]) -> Map:
        return replace(self, axes=reshape_axes(self.axes, shape))

    def permute(self, order: Sequence[int]) -> Map:
        return replace(self, axes=tuple(self.axes[i] for i in order))

    def take(self, axis: int, places: np.ndarray) -> Map:
        whole = len(places) == self.shape[axis] and (places == np.arange(len(places))).all()
        if whole:
            return self
        if self.axes[axis].sources[:1] and self.axes[axis].sources[0][0] == 0:
            return self._take_channels(axis, places)
        value = self._sum_up() if (places < 0).any() else self
        return replace(value, axes=take_axis(value.axes, axis, places))

    def _take_channels(self, axis: int, places: np.ndarray) -> Map:
        """Choose parts, as a split does."""
        start = 0
        for part in self.content:
            is_part = len(places) == part.channels and places[0] == start
            if is_part and self.channel_axis == axis and (np.diff(places) == 1).all():
                source = Axis(((0, part.channels),), np.arange(part.channels))
                return Map((part,), (*self.axes[:axis], source, *self.axes[axis + 1 :]))
            start += part.channels
        raise Unfit("all channels of a feature map, in order")

    def _sum_up(self) -> Map:
        """Return a value without a bias and with one term, so that zeros may lie beside it."""
        part = self.content[0]
        if len(self.content) == 1 and len(part.terms) == 1 and not part.bias.any():
            return self
        base = part.terms[0][0]
        summed = Summed(base.node, (self.channels, *base.shape[1:]), self.content)
        return replace(self, content=(Part(self.channels, ((summed, ONE),), ZERO),))

    def spacings(self) -> Spacing:
        """Return how rows and columns lie in the last two axes, which must be spaced alike."""
        rows, columns = (self.axes[i] for i in (-2, -1))
        sources = [[number for number, _ in axis.sources] for axis in (rows, columns)]
        if sources != [[1], [2]]:
            raise Unfit("rows and columns of a feature map in the last two axes")
        spacing = read_spacing(rows)
        if read_spacing(columns) != spacing:
            raise Unfit("rows and columns padded alike")
        return spacing


@dataclass(frozen=True, eq=False)
class ScaledMap:
    """A feature map whose channels are multiplied by a style [C]."""

    x: Map
    style: Content

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    def reshape(self, shape: Sequence[int]) -> ScaledMap:
        return replace(self, x=self.x.reshape(shape))

    def permute(self, order: Sequence[int]) -> ScaledMap:
        return replace(self, x=self.x.permute(order))

    def take(self, axis: int, places: np.ndarray) -> ScaledMap:
        return replace(self, x=self.x.take(axis, places))


class _Tensors:
    """A value that is held in tensors of its own shape, which are rearranged together."""

    def _first(self) -> torch.Tensor:
        return getattr(self, fields(self)[0].name)  # pyright: ignore[reportArgumentType]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._first().shape)

    def _rearrange(self, change: Callable[[torch.Tensor], torch.Tensor]) -> _Tensors:
        changed = {
            name: change(tensor)
            for name in ("coefficients", "numbers", "rows")
            if isinstance(tensor := getattr(self, name, None), torch.Tensor)
        }
        return replace(self, **changed)  # pyright: ignore[reportArgumentType]

    def reshape(self, shape: Sequence[int]) -> _Tensors:
        return self._rearrange(lambda tensor: tensor.reshape(tuple(shape)))

    def permute(self, order: Sequence[int]) -> _Tensors:
        return self._rearrange(lambda tensor: tensor.permute(tuple(order)))

    def take(self, axis: int, places: np.ndarray) -> _Tensors:
        if (places < 0).any():
            raise Unfit("weights without padding")
        index = torch.from_numpy(places)
        return self._rearrange(lambda tensor: tensor.index_select(axis, index))


@dataclass(frozen=True, eq=False)
class Modulated(_Tensors):
    """coefficients · style[numbers], perhaps demodulated.

    Attributes:
        coefficients: the weight.
        numbers: for each coefficient, the number of the style's value that multiplies it.
        style: the style [I].
        energy: its energy, if it is normalised by it.
        rows: for each coefficient, the row of `energy` that normalises it.
    """

    coefficients: torch.Tensor
    numbers: torch.Tensor
    style: Content
    energy: Energy | None = None
    rows: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Squares(_Tensors):
    """coefficients · style[numbers]²."""

    coefficients: torch.Tensor
    numbers: torch.Tensor
    style: Content


@dataclass(frozen=True, eq=False)
class Energy(_Tensors):
    """(Σ matrix[row, i] · style[i]² + eps) ** power.

    Attributes:
        rows: for each element, its row in `matrix`.
        matrix: [rows, I], float64.
    """

    rows: torch.Tensor
    matrix: torch.Tensor
    style: Content
    eps: float = 0.0
    power: float = 1.0


Symbol = Map | ScaledMap | Modulated | Squares | Energy
Value = torch.Tensor | Symbol


def modulate(x: Map, coefficients: torch.Tensor) -> Modulated:
    """Return coefficients · x, x being a vector that is broadcast to their shape."""
    axis = x.channel_axis
    sizes = [1] * len(x.shape)
    sizes[axis] = x.channels
    numbers = torch.arange(x.channels, dtype=torch.int32).reshape(sizes)
    shape = np.broadcast_shapes(numbers.shape, coefficients.shape)
    return Modulated(coefficients.expand(shape), numbers.expand(shape), x.content)


def element_count(shape: Sequence[int]) -> int:
    """Return the number of elements of a shape."""
    return math.prod(shape)
