"""Compute the constant parts of a graph: scales, shapes, indices and kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from .axes import Unfit
from .graph import Node
from .tensors import DTYPES, TensorEntry
from .values import element_count

Constants = Sequence[torch.Tensor | None]
"""The inputs of a node; None for one that is left out."""


def ints(tensor: torch.Tensor | None) -> list[int]:
    """Return the numbers of a constant list."""
    if tensor is None or tensor.numel() > 1 << 20:
        raise Unfit("a short list of numbers")
    return [int(n) for n in tensor.reshape(-1).tolist()]


def simplify(tensor: torch.Tensor) -> torch.Tensor:
    """Return floating-point numbers as float32, all others as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


def attribute_ints(node: Node, name: str) -> list[int] | None:
    """Return an attribute that is a list of whole numbers."""
    value = node.attributes.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(n, int) for n in value):
        raise Unfit(f"whole numbers as the attribute `{name}`")
    return [int(n) for n in value]


def attribute_int(node: Node, name: str, default: int) -> int:
    """Return an attribute that is a whole number."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise Unfit(f"a whole number as the attribute `{name}`")
    return value


def attribute_float(node: Node, name: str, default: float) -> float:
    """Return an attribute that is a number."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise Unfit(f"a number as the attribute `{name}`")
    return float(value)


def resolve_shape(wanted: Sequence[int], shape: Sequence[int], *, keep_zero: bool) -> list[int]:
    """Return the shape that a Reshape asks for: 0 keeps an axis, -1 takes what is left."""
    sizes = list(wanted)
    for i, size in enumerate(sizes):
        if size == 0 and not keep_zero and i < len(shape):
            sizes[i] = shape[i]
    if sizes.count(-1) == 1:
        known = math.prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = element_count(shape) // known if known else 0
    if min(sizes, default=1) < 0 or element_count(sizes) != element_count(shape):
        raise Unfit(f"a shape of {element_count(shape):,} elements, not {list(wanted)}")
    return sizes


def slice_places(size: int, start: int, end: int, step: int) -> np.ndarray:
    """Return the places that a Slice of an axis chooses."""
    if step == 0:
        raise Unfit("a step other than 0")
    stop = None if step < 0 and end < -size else end
    return np.array(range(size)[start:stop:step], np.int64)


def _binary(compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
    def fold(node: Node, inputs: Constants) -> torch.Tensor:
        first, second = inputs
        if first is None or second is None:
            raise Unfit("two inputs")
        return compute(first, second)

    return fold


def _unary(compute: Callable[[torch.Tensor], torch.Tensor]):
    def fold(node: Node, inputs: Constants) -> torch.Tensor:
        if not inputs or inputs[0] is None:
            raise Unfit("an input")
        return compute(inputs[0])

    return fold


def _divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.is_floating_point():
        return a / b
    if (b == 0).any():
        raise Unfit("a divisor other than 0")
    return torch.div(a, b, rounding_mode="trunc")


def _power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.double() ** b.double()).to(a.dtype)


def _constant(node: Node, inputs: Constants) -> torch.Tensor:
    for name, value in node.attributes.items():
        if isinstance(value, TensorEntry):
            return simplify(value.read())
        if name in ("value_float", "value_floats") and isinstance(value, int | float | list):
            return torch.tensor(value, dtype=torch.float32)
        if name in ("value_int", "value_ints") and isinstance(value, int | list):
            return torch.tensor(value, dtype=torch.int64)
    raise Unfit("a constant of numbers")


def _constant_of_shape(node: Node, inputs: Constants) -> torch.Tensor:
    value = node.attributes.get("value")
    fill = simplify(value.read()).reshape(-1)[:1] if isinstance(value, TensorEntry) else None
    sizes = ints(inputs[0])
    if any(size < 0 for size in sizes) or (fill is not None and fill.numel() != 1):
        raise Unfit("a shape without negative sizes, and one number to fill it with")
    return (torch.zeros(1) if fill is None else fill).expand(sizes)


def _cast(node: Node, inputs: Constants) -> torch.Tensor:
    dtype = DTYPES.get(attribute_int(node, "to", 1))
    if dtype is None or inputs[0] is None:
        raise Unfit("a conversion to floating-point or whole numbers")
    return simplify(inputs[0].to(dtype))


def _range(node: Node, inputs: Constants) -> torch.Tensor:
    if len(inputs) != 3 or any(n is None or n.numel() != 1 for n in inputs):
        raise Unfit("three numbers")
    start, end, step = (n.reshape(()) for n in inputs if n is not None)
    if start.is_floating_point() or int(step) == 0 or abs(int(end) - int(start)) > 1 << 24:
        raise Unfit("a range of fewer whole numbers")
    return torch.arange(int(start), int(end), int(step)) if _counts(start, end, step) else start[:0]


def _counts(start: torch.Tensor, end: torch.Tensor, step: torch.Tensor) -> bool:
    return (int(end) - int(start)) * int(step) > 0


def _where(node: Node, inputs: Constants) -> torch.Tensor:
    if len(inputs) != 3 or any(n is None for n in inputs):
        raise Unfit("three inputs")
    condition, first, second = (n for n in inputs if n is not None)
    return torch.where(condition.bool(), first, second)


FOLDERS: dict[str, Callable[[Node, Constants], torch.Tensor]] = {
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(_divide),
    "Pow": _binary(_power),
    "Equal": _binary(torch.eq),
    "Less": _binary(torch.lt),
    "Greater": _binary(torch.gt),
    "And": _binary(torch.logical_and),
    "Mod": _binary(torch.remainder),
    "Max": _binary(torch.maximum),
    "Min": _binary(torch.minimum),
    "Sqrt": _unary(torch.sqrt),
    "Reciprocal": _unary(torch.reciprocal),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Abs": _unary(torch.abs),
    "Floor": _unary(torch.floor),
    "Ceil": _unary(torch.ceil),
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Where": _where,
}
"""Operators whose inputs must all be constant, or that are computed so when they are."""
