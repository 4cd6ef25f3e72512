"""Squares, their sums and means, and divisions by the roots of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from .axes import Unfit
from .bases import Normed, Styled, is_same
from .channels import SPARE, one_number, per_channel
from .constants import attribute_int
from .graph import Node
from .moving import axis_of, constant, first, list_axes
from .values import Energy, Map, Modulated, Squares, Value, modulate

Values = Sequence[Value | None]


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
    if np.broadcast_shapes(rows.shape, value.shape) != value.shape:
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
        energy.matrix, own, rtol=1e-3, atol=1e-6 * float(own.mean())
    )
    if not close or not is_small(energy.eps):
        raise Unfit("the sum of the squares of the modulated weights, plus 1e-8")


def raise_to_power(node: Node, inputs: Values) -> Value:
    """Square a value, or take a root of a mean or a sum of squares."""
    value = first(inputs)
    if node.op == "Pow":
        number = constant(inputs, 1)
        exponent = 1.0 if number is None else one_number(number)
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
    if rows * channels > 4 * coefficients.numel() + SPARE:
        raise Unfit("a sum of squares for each output channel")
    matrix = torch.zeros(rows, channels, dtype=torch.float64).scatter_add(1, numbers, coefficients)
    keeps = bool(attribute_int(node, "keepdims", 1))
    shape = [1 if i in dropped else n for i, n in enumerate(value.shape) if keeps or i in kept]
    return Energy(torch.arange(rows).reshape(shape), matrix, value.style)
