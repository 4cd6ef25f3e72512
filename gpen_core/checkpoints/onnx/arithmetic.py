"""Sums, products, powers and means of values that depend on the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from .axes import Unfit
from .bases import Part, is_same
from .channels import check_growth, one_number, per_channel, scale, shift
from .graph import Node
from .norms import normalise, raise_to_power, reduce, square
from .values import Energy, Map, Modulated, ScaledMap, Squares, Symbol, Value, modulate

Values = Sequence[Value | None]


def _pair(inputs: Values) -> tuple[Value, Value]:
    if len(inputs) != 2 or inputs[0] is None or inputs[1] is None:
        raise Unfit("two inputs")
    return inputs[0], inputs[1]


def _align(value: Symbol, other: Value) -> Symbol:
    """Put axes of the size one before a value, until it has as many axes as the other one."""
    missing = len(other.shape) - len(value.shape)
    return value if missing <= 0 else value.reshape((*(1,) * missing, *value.shape))  # pyright: ignore


def add(node: Node, inputs: Values) -> Value:
    """Add a bias, the number of a norm, or two feature maps."""
    a, b = _pair(inputs)
    sign = -1.0 if node.op == "Sub" else 1.0
    if isinstance(a, torch.Tensor) and sign > 0:
        a, b = b, a
    if isinstance(b, torch.Tensor):
        return _add_constant(a, sign * b.double())
    if not isinstance(a, Map) or not isinstance(b, Map) or sign < 0:
        raise Unfit("a sum of feature maps or of a feature map and constants")
    return _add_maps(a, b)


def _add_constant(value: Value, number: torch.Tensor) -> Value:
    if isinstance(value, Energy) and value.power == 1:
        return replace(value, eps=value.eps + one_number(number))
    if not isinstance(value, Map):
        raise Unfit("a constant that is added to a feature map or to a mean of squares")
    x = _align(value, number)
    assert isinstance(x, Map)
    if not x.is_plain and number.any():
        raise Unfit("a feature map without padding where a constant is added")
    return shift(x, per_channel(x, number))


def _add_maps(a: Map, b: Map) -> Map:
    x, y = _align(a, b), _align(b, a)
    assert isinstance(x, Map)
    assert isinstance(y, Map)
    if x.shape != y.shape or not (x.is_plain and y.is_plain) or x.channel_axis != y.channel_axis:
        raise Unfit("two feature maps of the same size")
    if [p.channels for p in x.content] != [p.channels for p in y.content]:
        raise Unfit("a sum of feature maps whose channels were appended alike")
    pairs = zip(x.content, y.content, strict=True)
    parts = [Part(p.channels, p.terms + q.terms, p.bias + q.bias) for p, q in pairs]
    if max(len(part.terms) for part in parts) > 4:
        raise Unfit("a sum of two feature maps")
    return Map(tuple(parts), x.axes)


def multiply(node: Node, inputs: Values) -> Value:
    """Scale by a constant, by a style or by a norm, or square."""
    a, b = _pair(inputs)
    if isinstance(a, torch.Tensor):
        a, b = b, a
    if isinstance(b, torch.Tensor):
        return _multiply_by_constant(a, b)
    if a is b or (isinstance(a, Map) and isinstance(b, Map) and _are_equal(a, b)):
        return square(a)
    if isinstance(a, Energy):
        a, b = b, a
    if isinstance(b, Energy):
        return normalise(node, a, b)
    return _apply_style(a, b)


def _are_equal(a: Map, b: Map) -> bool:
    plain = a.shape == b.shape and a.is_plain and b.is_plain
    return plain and is_same(a.content, b.content)


def _multiply_by_constant(value: Value, tensor: torch.Tensor) -> Value:
    if isinstance(value, ScaledMap):
        x = scale(value.x, per_channel(value.x, tensor))
        return replace(value, x=x)
    if isinstance(value, Energy):
        if value.power != 1:
            raise Unfit("a norm that is not scaled")
        factor = one_number(tensor)
        return replace(value, matrix=value.matrix * factor, eps=value.eps * factor)
    if isinstance(value, Modulated | Squares):
        aligned = _align(value, tensor)
        assert isinstance(aligned, Modulated | Squares)
        return _scale_coefficients(aligned, tensor)
    assert isinstance(value, Map)
    x = _align(value, tensor)
    assert isinstance(x, Map)
    wide = np.broadcast_shapes(x.shape, tuple(tensor.shape))
    if tuple(wide) == x.shape:
        return scale(x, per_channel(x, tensor))
    if not x.is_vector or len(wide) < 4:
        raise Unfit(f"a result of the shape {list(x.shape)}")
    check_growth(x.shape, tensor.shape)
    return modulate(x, tensor)


def _scale_coefficients(value: Modulated | Squares, tensor: torch.Tensor) -> Value:
    if isinstance(value, Modulated) and value.energy is not None:
        if tensor.numel() != 1:
            raise Unfit("normalised weights that are used as they are")
        return replace(value, coefficients=value.coefficients * tensor)
    check_growth(value.shape, tensor.shape)
    coefficients = value.coefficients * tensor
    return replace(
        value, coefficients=coefficients, numbers=value.numbers.expand(coefficients.shape)
    )


def _apply_style(a: Value, b: Value) -> ScaledMap:
    if isinstance(a, Map) and a.is_vector:
        a, b = b, a
    if not (isinstance(a, Map) and isinstance(b, Map)) or a.is_vector or not b.is_vector:
        raise Unfit("a feature map multiplied by a style")
    style = _align(b, a)
    assert isinstance(style, Map)
    if not a.is_plain or style.channel_axis != a.channel_axis or style.channels != a.channels:
        raise Unfit(f"a style of {a.channels} values, one for each channel")
    return ScaledMap(a, style.content)


def divide(node: Node, inputs: Values) -> Value:
    """Divide by a constant or by a norm, or a constant one by a norm."""
    a, b = _pair(inputs)
    if isinstance(b, torch.Tensor):
        if not b.all():
            raise Unfit("a divisor other than 0")
        return _multiply_by_constant(a, 1 / b.double())
    if not isinstance(b, Energy):
        raise Unfit("a constant or the root of a sum of squares as the divisor")
    if isinstance(a, torch.Tensor):
        if one_number(a) != 1:
            raise Unfit("the number 1 divided by a norm")
        return replace(b, power=-b.power)
    return normalise(node, a, b)


SYMBOLIC: dict[str, Callable[[Node, Values], Value]] = {
    "Add": add, "Sub": add, "Mul": multiply, "Div": divide, "Pow": raise_to_power,
    "Sqrt": raise_to_power, "Reciprocal": raise_to_power, "ReduceSum": reduce,
    "ReduceMean": reduce, "ReduceSumSquare": reduce,
}  # fmt: skip
"""Operators on values that depend on the face."""
