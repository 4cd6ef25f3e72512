"""Sums, products, powers and means of values that depend on the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from .axes import Unfit
from .constants import attribute_int
from .graph import Node
from .moving import axis_of, constant, first, list_axes
from .values import (
    Energy,
    Map,
    Modulated,
    Normed,
    Part,
    ScaledMap,
    Squares,
    Styled,
    Symbol,
    Value,
    is_same,
    modulate,
)

Values = Sequence[Value | None]


def _pair(inputs: Values) -> tuple[Value, Value]:
    if len(inputs) != 2 or inputs[0] is None or inputs[1] is None:
        raise Unfit("two inputs")
    return inputs[0], inputs[1]


def _align(value: Symbol, other: Value) -> Symbol:
    """Put axes of the size one before a value, until it has as many axes as the other one."""
    missing = len(other.shape) - len(value.shape)
    return value if missing <= 0 else value.reshape((*(1,) * missing, *value.shape))  # pyright: ignore


def _number(tensor: torch.Tensor) -> float:
    """Return a constant that is one number."""
    if tensor.numel() != 1:
        raise Unfit(f"one number, not a tensor of the shape {list(tensor.shape)}")
    return float(tensor.reshape(()))


def per_channel(x: Map, tensor: torch.Tensor) -> torch.Tensor:
    """Return a constant as [] or [C], one number for each channel of x."""
    tensor = tensor.double()
    if tensor.numel() == 1:
        return tensor.reshape(())
    tensor = tensor.reshape((1,) * (len(x.shape) - tensor.ndim) + tuple(tensor.shape))
    axis = x.channel_axis
    if tensor.numel() != x.channels or tensor.shape[axis] != x.channels:
        raise Unfit(
            f"one number for each of {x.channels} channels, not a tensor of the shape "
            f"{list(tensor.shape)}"
        )
    return tensor.reshape(-1)


def _for_parts(x: Map, values: torch.Tensor) -> list[torch.Tensor]:
    if values.ndim == 0:
        return [values] * len(x.content)
    return list(values.split([part.channels for part in x.content]))


def scale(x: Map, gain: torch.Tensor) -> Map:
    """Multiply x by a gain [] or [C]."""
    gains = _for_parts(x, gain)
    parts = tuple(part.scale(g) for part, g in zip(x.content, gains, strict=True))
    return replace(x, content=parts)


def shift(x: Map, bias: torch.Tensor) -> Map:
    """Add a bias [] or [C] to x."""
    pairs = zip(x.content, _for_parts(x, bias), strict=True)
    return replace(x, content=tuple(replace(part, bias=part.bias + b) for part, b in pairs))


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
        return replace(value, eps=value.eps + _number(number))
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
        factor = _number(tensor)
        return replace(value, matrix=value.matrix * factor, eps=value.eps * factor)
    if isinstance(value, Modulated | Squares):
        aligned = _align(value, tensor)
        assert isinstance(aligned, Modulated | Squares)
        return _scale_coefficients(aligned, tensor)
    assert isinstance(value, Map)
    x = _align(value, tensor)
    assert isinstance(x, Map)
    wide = torch.broadcast_shapes(x.shape, tuple(tensor.shape))
    if tuple(wide) == x.shape:
        return scale(x, per_channel(x, tensor))
    if not x.is_vector or len(wide) < 4:
        raise Unfit(f"a result of the shape {list(x.shape)}")
    return modulate(x, tensor)


def _scale_coefficients(value: Modulated | Squares, tensor: torch.Tensor) -> Value:
    if isinstance(value, Modulated) and value.energy is not None:
        if tensor.numel() != 1:
            raise Unfit("normalised weights that are used as they are")
        return replace(value, coefficients=value.coefficients * tensor)
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


def square(value: Value) -> Squares:
    """Square a vector or modulated weights."""
    if isinstance(value, Map) and value.is_vector:
        value = modulate(value, torch.ones((1,) * len(value.shape)))
    if not isinstance(value, Modulated) or value.energy is not None:
        raise Unfit("the square of a vector or of modulated weights")
    return Squares(value.coefficients.double().square(), value.numbers, value.style)


def normalise(node: Node, value: Value, energy: Energy) -> Value:
    """Multiply or divide by the root of an energy."""
    power = energy.power * (-1 if node.op == "Div" else 1)
    if power not in (0.5, -0.5):
        raise Unfit("a division by the root of a mean or a sum of squares")
    if isinstance(value, Modulated):
        return _demodulate_weights(value, energy, power)
    if not isinstance(value, Map):
        raise Unfit("a vector, weights or a feature map that is normalised")
    if value.is_vector:
        return _normalise_vector(node, value, energy, power)
    return _demodulate_map(value, energy, power)


def _normalise_vector(node: Node, x: Map, energy: Energy, power: float) -> Map:
    if power != -0.5 or len(energy.matrix) != 1 or not is_same(x.content, energy.style):
        raise Unfit("a vector divided by the root of its own mean square")
    mean = torch.full_like(energy.matrix, 1 / x.channels)
    if not torch.allclose(energy.matrix, mean, rtol=1e-3, atol=0) or not is_small(energy.eps):
        raise Unfit("the mean of the squares plus 1e-8")
    normed = Normed(node.name, (x.channels,), x.content)
    return replace(x, content=Map.of(normed).content)


def is_small(eps: float) -> bool:
    """Whether this is the number that keeps a norm from zero.

    It is 1e-8. Exporters that simplify drop it, and float16 rounds it to 0 or 1.2e-7.
    """
    return 0 <= eps < 1.25e-7


def _demodulate_weights(value: Modulated, energy: Energy, power: float) -> Modulated:
    if value.energy is not None or power != -0.5 or not is_same(value.style, energy.style):
        raise Unfit("modulated weights divided once by the root of their own sum of squares")
    missing = len(value.shape) - len(energy.shape)
    rows = energy.rows.reshape((1,) * max(missing, 0) + tuple(energy.shape))
    if torch.broadcast_shapes(rows.shape, value.shape) != value.shape:
        raise Unfit("one norm for each output channel of the weights")
    return replace(value, energy=energy, rows=rows.expand(value.shape))


def _demodulate_map(x: Map, energy: Energy, power: float) -> Map:
    rows = per_channel(x, energy.rows).long()
    part = x.content[0]
    styled = part.terms[0][0]
    alone = len(x.content) == 1 and len(part.terms) == 1 and not part.bias.any()
    if not alone or not isinstance(styled, Styled):
        raise Unfit("the result of one convolution")
    expected = torch.arange(x.channels)
    if rows.ndim == 0 or (rows != expected).any() or not is_same(styled.style, energy.style):
        raise Unfit("one norm for each output channel of the convolution")
    check_energy(styled.weight, energy)
    count = styled.demodulations + (1 if power < 0 else -1)
    if count not in (0, 1):
        raise Unfit("weights divided once by the root of their own sum of squares")
    changed = replace(styled, demodulations=count)
    return replace(x, content=(replace(part, terms=((changed, part.terms[0][1]),)),))


def check_energy(weight: torch.Tensor, energy: Energy) -> None:
    """Raise Unfit unless this is the energy of weight [O, I, k, k], by output channel."""
    own = weight.double().square().sum(dim=(2, 3))
    close = own.shape == energy.matrix.shape and torch.allclose(
        energy.matrix, own, rtol=5e-3, atol=1e-6 * float(own.mean())
    )
    if not close or not is_small(energy.eps):
        raise Unfit("the sum of the squares of the modulated weights, plus 1e-8")


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
        if _number(a) != 1:
            raise Unfit("the number 1 divided by a norm")
        return replace(b, power=-b.power)
    return normalise(node, a, b)


def raise_to_power(node: Node, inputs: Values) -> Value:
    """Square a value, or take a root of a mean or a sum of squares."""
    value = first(inputs)
    if node.op == "Pow":
        number = constant(inputs, 1)
        exponent = 1.0 if number is None else _number(number)
    else:
        exponent = 0.5 if node.op == "Sqrt" else -1.0
    if isinstance(value, Energy):
        return replace(value, power=value.power * exponent)
    if exponent != 2:
        raise Unfit("a root of a mean or a sum of squares")
    return square(value)


def reduce(node: Node, inputs: Values) -> Value:
    """Add up squares, or take their mean."""
    value = first(inputs)
    if node.op == "ReduceSumSquare":
        value = square(value)
    axes = list_axes(node, inputs)
    if not isinstance(value, Squares) or axes is None:
        raise Unfit("a sum or a mean of squares along some axes")
    dropped = sorted({axis_of(value, axis) for axis in axes})
    kept = [i for i in range(len(value.shape)) if i not in dropped]
    order = [*kept, *dropped]
    rows = 1
    for i in kept:
        rows *= value.shape[i]
    coefficients = value.coefficients.double().permute(order).reshape(rows, -1)
    numbers = value.numbers.permute(order).reshape(rows, -1).long()
    if node.op == "ReduceMean":
        coefficients = coefficients / coefficients.shape[1]
    channels = sum(part.channels for part in value.style)
    matrix = torch.zeros(rows, channels, dtype=torch.float64).scatter_add(1, numbers, coefficients)
    keeps = bool(attribute_int(node, "keepdims", 1))
    shape = [1 if i in dropped else n for i, n in enumerate(value.shape) if keeps or i in kept]
    return Energy(torch.arange(rows).reshape(shape), matrix, value.style)


SYMBOLIC: dict[str, Callable[[Node, Values], Value]] = {
    "Add": add, "Sub": add, "Mul": multiply, "Div": divide, "Pow": raise_to_power,
    "Sqrt": raise_to_power, "Reciprocal": raise_to_power, "ReduceSum": reduce,
    "ReduceMean": reduce, "ReduceSumSquare": reduce,
}  # fmt: skip
"""Operators on values that depend on the face."""
