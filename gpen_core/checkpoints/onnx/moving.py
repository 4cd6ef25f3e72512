"""Operators that rearrange a tensor, be it constant or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from .axes import Axis, Unfit
from .constants import attribute_int, attribute_ints, ints, resolve_shape, slice_places
from .graph import Node
from .values import Map, Value, element_count

Values = Sequence[Value | None]
Mover = Callable[[Node, Values], Value]


def constant(inputs: Values, place: int) -> torch.Tensor | None:
    """Return an input that must be constant; None if it is left out."""
    value = inputs[place] if place < len(inputs) else None
    if value is None or isinstance(value, torch.Tensor):
        return value
    raise Unfit(f"a constant as the input {place}")


def first(inputs: Values) -> Value:
    """Return the first input."""
    if not inputs or inputs[0] is None:
        raise Unfit("an input")
    return inputs[0]


def reshape(value: Value, shape: Sequence[int]) -> Value:
    """Reshape a value."""
    if element_count(shape) != element_count(value.shape):
        raise Unfit(f"a shape of {element_count(value.shape):,} elements, not {list(shape)}")
    return value.reshape(tuple(shape))  # pyright: ignore[reportReturnType]


def take(value: Value, axis: int, places: np.ndarray) -> Value:
    """Choose places of an axis; a place of -1 is a zero."""
    if not isinstance(value, torch.Tensor):
        return value.take(axis, places)  # pyright: ignore[reportReturnType]
    index = torch.from_numpy(np.maximum(places, 0))
    if not value.shape[axis] and len(places):
        raise Unfit("a tensor that is not empty")
    taken = value.index_select(axis, index)
    if (places < 0).any():
        mask = torch.from_numpy(places < 0).reshape([-1] + [1] * (value.ndim - 1 - axis))
        taken = taken.masked_fill(mask, 0)
    return taken


def axis_of(value: Value, axis: int) -> int:
    """Return the number of an axis, counted from the front."""
    rank = len(value.shape)
    if not -rank <= axis < rank:
        raise Unfit(f"an axis of {rank}, not {axis}")
    return axis % rank


def list_axes(node: Node, inputs: Values) -> list[int] | None:
    """Return the axes that a node names by an attribute or, in newer versions, by an input."""
    given = constant(inputs, 1)
    return attribute_ints(node, "axes") if given is None else ints(given)


def _reshape(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    wanted = attribute_ints(node, "shape") or ints(constant(inputs, 1))
    keep_zero = bool(attribute_int(node, "allowzero", 0))
    return reshape(value, resolve_shape(wanted, value.shape, keep_zero=keep_zero))


def _flatten(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    axis = attribute_int(node, "axis", 1)
    axis = axis + len(value.shape) if axis < 0 else axis
    sizes = value.shape
    return reshape(value, (element_count(sizes[:axis]), element_count(sizes[axis:])))


def _squeeze(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    axes = list_axes(node, inputs)
    if axes is None:
        axes = [i for i, size in enumerate(value.shape) if size == 1]
    dropped = {axis_of(value, axis) for axis in axes}
    return reshape(value, [n for i, n in enumerate(value.shape) if i not in dropped])


def _unsqueeze(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    axes = list_axes(node, inputs) or []
    rank = len(value.shape) + len(axes)
    if rank > 12 or any(not -rank <= axis < rank for axis in axes):
        raise Unfit("axes that the result has")
    added, sizes = {axis % rank for axis in axes}, list(value.shape)
    return reshape(value, [1 if i in added or not sizes else sizes.pop(0) for i in range(rank)])


def _transpose(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    rank = len(value.shape)
    order = attribute_ints(node, "perm") or list(range(rank))[::-1]
    if sorted(order) != list(range(rank)):
        raise Unfit(f"an order of {rank} axes")
    return value.permute(tuple(order))  # pyright: ignore[reportReturnType]


def _slice(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    if "starts" in node.attributes:
        starts, ends = attribute_ints(node, "starts") or [], attribute_ints(node, "ends") or []
        axes, steps = attribute_ints(node, "axes"), None
    else:
        starts, ends = ints(constant(inputs, 1)), ints(constant(inputs, 2))
        given, strides = constant(inputs, 3), constant(inputs, 4)
        axes = None if given is None else ints(given)
        steps = None if strides is None else ints(strides)
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise Unfit("as many starts as ends, axes and steps")
    for start, end, name, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(value, name)
        value = take(value, axis, slice_places(value.shape[axis], start, end, step))
    return value


def _gather(node: Node, inputs: Values) -> Value:
    value, index = first(inputs), constant(inputs, 1)
    axis = axis_of(value, attribute_int(node, "axis", 0))
    if index is None or index.is_floating_point():
        raise Unfit("whole numbers as the places")
    size = value.shape[axis]
    places = index.reshape(-1).long().numpy()
    if len(places) and not (-size <= places.min() and places.max() < size):
        raise Unfit(f"places from 0 to {size - 1}")
    taken = take(value, axis, np.where(places < 0, places + size, places))
    return reshape(taken, (*value.shape[:axis], *index.shape, *value.shape[axis + 1 :]))


def _pad(node: Node, inputs: Values) -> Value:
    value = first(inputs)
    pads = attribute_ints(node, "pads") or ints(constant(inputs, 1))
    fill = constant(inputs, 2)
    if node.attributes.get("mode", "constant") != "constant" or (fill is not None and fill.any()):
        raise Unfit("padding by zeros")
    given = constant(inputs, 3)
    axes = list(range(len(value.shape))) if given is None else ints(given)
    if len(pads) != 2 * len(axes) or max(map(abs, pads), default=0) > 64:
        raise Unfit(f"a few zeros before and after each of {len(axes)} axes")
    for i, name in enumerate(axes):
        axis, before, after = axis_of(value, name), pads[i], pads[len(axes) + i]
        size = value.shape[axis]
        places = np.concatenate(
            [np.full(max(before, 0), -1), np.arange(size), np.full(max(after, 0), -1)]
        )
        places = places[max(-before, 0) : len(places) - max(-after, 0)]
        if before or after:
            value = take(value, axis, places)
    return value


def _expand(node: Node, inputs: Values) -> Value:
    value, sizes = first(inputs), ints(constant(inputs, 1))
    if node.op == "Tile":
        sizes = [n * m for n, m in zip(value.shape, sizes, strict=True)]
    elif min(sizes, default=1) < 0:
        raise Unfit("a shape without negative sizes")
    sizes = np.broadcast_shapes(value.shape, tuple(sizes)) if node.op == "Expand" else sizes
    if list(sizes) == list(value.shape):
        return value
    if isinstance(value, torch.Tensor):
        return value.expand(sizes) if node.op == "Expand" else _tile(value, sizes)
    if element_count(sizes) == element_count(value.shape):
        return reshape(value, sizes)
    raise Unfit("a single face")


def _tile(value: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    repeats = [n // m for n, m in zip(sizes, value.shape, strict=True)]
    if not all(m == 1 or n == 1 for n, m in zip(repeats, value.shape, strict=True)):
        raise Unfit("repeats of axes of the size one")
    return value.expand(list(sizes))


def _concat(node: Node, inputs: Values) -> Value:
    values = [value for value in inputs if value is not None]
    if not values:
        raise Unfit("an input")
    axis = axis_of(values[0], attribute_int(node, "axis", 1))
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if len(tensors) == len(values):
        return torch.cat(tensors, dim=axis)
    if len(values) == 1:
        return values[0]
    maps = [value for value in values if isinstance(value, Map)]
    if len(maps) == len(values):
        return _append_channels(maps, axis)
    if len(maps) == 1 and not any(tensor.any() for tensor in tensors):
        return _surround(values, maps[0], axis)
    raise Unfit("feature maps, or one of them among zeros")


def _append_channels(maps: Sequence[Map], axis: int) -> Map:
    if any(not x.is_plain or x.channel_axis != axis for x in maps):
        raise Unfit("feature maps that are appended along their channels")
    others = [x.shape[:axis] + x.shape[axis + 1 :] for x in maps]
    if any(sizes != others[0] for sizes in others):
        raise Unfit("feature maps of the same size")
    channels = sum(x.channels for x in maps)
    source = Axis(((0, channels),), np.arange(channels))
    axes = (*maps[0].axes[:axis], source, *maps[0].axes[axis + 1 :])
    return Map(tuple(part for x in maps for part in x.content), axes)


def _surround(values: Sequence[Value], x: Map, axis: int) -> Value:
    """Put a feature map among zeros."""
    places = [
        np.arange(x.shape[axis]) if value is x else np.full(value.shape[axis], -1)
        for value in values
    ]
    return x.take(axis, np.concatenate(places))


def _scatter(node: Node, inputs: Values) -> Value:
    """Write a tensor between zeros: a zero insertion that a slice's assignment became."""
    data, index, value = constant(inputs, 0), constant(inputs, 1), inputs[2]
    if data is None or index is None or data.any() or not isinstance(value, Map):
        raise Unfit("zeros, places in them, and a feature map to be written there")
    axes, count = list(value.axes), index.shape[-1]
    if tuple(index.shape[:-1]) != value.shape[:count] or count > len(axes):
        raise Unfit("a place for each row")
    for i in range(count):
        places = _read_places(index[..., i], i)
        size = data.shape[i]
        if len(np.unique(places)) != len(places) or places.min() < 0 or places.max() >= size:
            raise Unfit(f"different places from 0 to {size - 1}")
        spread = np.full(size, -1)
        spread[places] = np.arange(len(places))
        if (spread < 0).any() or (np.diff(spread) != 1).any():
            value = value.take(i, spread)
    if value.shape != tuple(data.shape):
        raise Unfit(f"a result of the shape {list(data.shape)}")
    return value


def _read_places(index: torch.Tensor, axis: int) -> np.ndarray:
    """Return the places along one axis, which must not depend on the other axes."""
    line = index
    for other in reversed(range(index.ndim)):
        if other != axis:
            line = line.select(other, 0)
    shape = [1] * index.ndim
    shape[axis] = -1
    if not (index == line.reshape(shape)).all():
        raise Unfit("places that depend on one axis each")
    return line.long().numpy()


def _shape(node: Node, inputs: Values) -> Value:
    sizes = first(inputs).shape
    start, end = attribute_int(node, "start", 0), attribute_int(node, "end", len(sizes))
    return torch.tensor(list(sizes)[start:end], dtype=torch.int64)


def _size(node: Node, inputs: Values) -> Value:
    return torch.tensor(element_count(first(inputs).shape))


def _identity(node: Node, inputs: Values) -> Value:
    return first(inputs)


MOVERS: dict[str, Mover] = {
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Transpose": _transpose, "Slice": _slice, "Gather": _gather, "Pad": _pad, "Expand": _expand,
    "Tile": _expand, "Concat": _concat, "ScatterND": _scatter, "Shape": _shape, "Size": _size,
    "Identity": _identity, "Dropout": _identity,
}  # fmt: skip
"""Operators that rearrange a tensor."""
