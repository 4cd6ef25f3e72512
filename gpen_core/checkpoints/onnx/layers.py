"""Convolutions, linear layers and activations of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from .axes import Spacing, Unfit
from .bases import Constant, Convolved, Filtered, Leaky, Linear, Styled
from .channels import per_channel, shift
from .constants import attribute_float, attribute_int, attribute_ints
from .graph import Node
from .moving import constant, first
from .norms import check_energy
from .values import Energy, Map, Modulated, ScaledMap, Squares, Value

Values = Sequence[Value | None]
SLOPE = 0.2


def _check_plain_convolution(node: Node) -> None:
    dilations = attribute_ints(node, "dilations") or [1]
    extra = attribute_ints(node, "output_padding") or [0]
    if set(dilations) != {1} or set(extra) != {0} or "output_shape" in node.attributes:
        raise Unfit("a convolution without dilation or additional output")
    if node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise Unfit("a convolution that says its padding")


def _read_window(node: Node, kernel: Sequence[int]) -> tuple[int, int, int]:
    """Return the stride and the zeros before and after, the same in x and y."""
    _check_plain_convolution(node)
    if (attribute_ints(node, "kernel_shape") or list(kernel)) != list(kernel):
        raise Unfit(f"a kernel of {list(kernel)}, as the weight has")
    strides = attribute_ints(node, "strides") or [1, 1]
    pads = attribute_ints(node, "pads") or [0, 0, 0, 0]
    if len(strides) != 2 or strides[0] != strides[1] or len(pads) != 4:
        raise Unfit("a convolution in two dimensions with the same stride in both")
    if pads != [pads[0], pads[0], pads[2], pads[2]] or not 0 <= min(pads) <= max(pads) < 9:
        raise Unfit("a convolution with the same small padding in x and y")
    return strides[0], pads[0], pads[2]


def _add_bias(node: Node, inputs: Values, result: Map) -> Map:
    bias = constant(inputs, 2)
    if bias is None:
        return result
    return shift(result, per_channel(result, bias.reshape(-1, *[1] * (len(result.shape) - 2))))


def _as_map(node: Node, value: Value) -> Map:
    """Return the input of a convolution as a feature map."""
    if isinstance(value, torch.Tensor):
        if value.ndim != 4 or value.shape[0] != 1:
            raise Unfit("a constant feature map [1, C, H, W]")
        return Map.of(Constant(node.name, tuple(value.shape[1:]), value[0]))
    if not isinstance(value, Map) or value.is_vector or len(value.shape) != 4:
        raise Unfit("a feature map [1, C, H, W]")
    return value


def _split_style(node: Node, value: Value) -> tuple[Map, tuple | None]:
    """Return a feature map and the style that multiplies its channels, if there is one."""
    if isinstance(value, ScaledMap):
        return value.x, value.style
    if isinstance(value, Modulated):
        if value.energy is not None or len(value.shape) != 4 or value.shape[0] != 1:
            raise Unfit("a constant feature map [1, C, H, W], multiplied by a style")
        _check_numbers(value.numbers, 1, value.shape[1])
        return _as_map(node, value.coefficients), value.style
    return _as_map(node, value), None


def _check_numbers(numbers: torch.Tensor, axis: int, size: int) -> None:
    shape = [1] * numbers.ndim
    shape[axis] = -1
    expected = torch.arange(size).reshape(shape)
    if numbers.shape[axis] != size or not (numbers == expected).all():
        raise Unfit("one number for each channel, in order")


def convolve(node: Node, inputs: Values) -> Value:
    """Recognise a FIR, an encoder's convolution or a modulated one."""
    x, style = _split_style(node, first(inputs))
    weight = inputs[1] if len(inputs) > 1 else None
    if weight is None or len(weight.shape) != 4 or isinstance(weight, Map | ScaledMap):
        raise Unfit("a weight [O, I, k, k]")
    stride, before, after = _read_window(node, weight.shape[2:])
    spacing = x.spacings().pad(before, after)
    group = attribute_int(node, "group", 1)
    if isinstance(weight, torch.Tensor) and weight.shape[1] == 1 and weight.shape[-1] == 4:
        result = _filter(node, x, weight, stride, spacing, group)
        if style is not None:
            raise Unfit("a blur of a feature map that no style multiplies")
        return _add_bias(node, inputs, result)
    if group != 1 or x.shape[0] != 1 or x.channel_axis != 1 or x.shape[1] != weight.shape[1]:
        raise Unfit(f"a weight for {x.shape[1]} channels in one group (one face)")
    if isinstance(weight, torch.Tensor) and style is None:
        return _add_bias(node, inputs, _encode(node, x, weight, stride, spacing))
    if stride != 1:
        raise Unfit("a modulated convolution of stride 1")
    matrix, energy = _read_weight(weight, style)
    chosen = style if style is not None else weight.style  # pyright: ignore
    upsamples = spacing.step == 2
    if upsamples:  # a transposed convolution that was written as a zero insertion
        matrix = matrix.flip(2, 3)
    result = _style(node, x, matrix, chosen, spacing, upsamples, energy)
    return _add_bias(node, inputs, result)


def _read_weight(weight: Value, style: tuple | None) -> tuple[torch.Tensor, Energy | None]:
    """Return [O, I, k, k] without its style, and the energy that normalises it."""
    if isinstance(weight, torch.Tensor) and style is not None:
        return weight, None
    if not isinstance(weight, Modulated) or style is not None:
        raise Unfit("a weight, or the feature map, multiplied by one style")
    _check_numbers(weight.numbers, 1, weight.shape[1])
    if weight.energy is not None:
        assert weight.rows is not None
        _check_numbers(weight.rows, 0, weight.shape[0])
    return weight.coefficients, weight.energy


def _style(
    node: Node,
    x: Map,
    weight: torch.Tensor,
    style: tuple,
    spacing: Spacing,
    upsamples: bool,
    energy: Energy | None,
) -> Map:
    size, _, kernel = x.content[0].terms[0][0].shape[1], *weight.shape[1:3]
    rows = spacing.before + spacing.step * (size - 1) + 1 + spacing.after - kernel + 1
    shape = (weight.shape[0], rows, rows)
    if weight.shape[2] != weight.shape[3] or rows < 1:
        raise Unfit("a square kernel that fits into the feature map")
    count = 0
    if energy is not None:
        check_energy(weight, energy)
        count = 1
    return Map.of(Styled(node.name, shape, x.content, weight, style, spacing, upsamples, count))


def _encode(node: Node, x: Map, weight: torch.Tensor, stride: int, spacing: Spacing) -> Map:
    kernel = weight.shape[2]
    size = x.shape[2] + spacing.before + spacing.after - x.spacings().before - x.spacings().after
    rows = (size - kernel) // stride + 1
    if weight.shape[2] != weight.shape[3] or stride not in (1, 2) or rows < 1:
        raise Unfit("a convolution of stride 1 or 2 with a square kernel")
    shape = (weight.shape[0], rows, rows)
    return Map.of(Convolved(node.name, shape, x.content, weight, stride, spacing))


def _filter(
    node: Node, x: Map, weight: torch.Tensor, stride: int, spacing: Spacing, group: int
) -> Map:
    """Filter channels that lie along the batch or in groups of one."""
    channels = x.channels
    if x.shape[:2] not in ((channels, 1), (1, channels)) or group != x.shape[1] or stride != 1:
        raise Unfit("a blur of every channel by itself")
    if weight.shape[0] != group or not (weight == weight[:1]).all():
        raise Unfit("the same kernel for every channel")
    size = x.content[0].terms[0][0].shape[1]
    rows = spacing.before + spacing.step * (size - 1) + 1 + spacing.after - 3
    base = Filtered(node.name, (channels, rows, rows), x.content, weight[0, 0], spacing)
    return Map.of(base).reshape((*x.shape[:2], rows, rows))


def transpose_convolve(node: Node, inputs: Values) -> Value:
    """Recognise the modulated convolution that doubles the size."""
    x, style = _split_style(node, first(inputs))
    weight = inputs[1] if len(inputs) > 1 else None
    if weight is None or len(weight.shape) != 4 or isinstance(weight, Map | ScaledMap):
        raise Unfit("a weight [I, O, k, k]")
    stride, before, after = _read_window(node, weight.shape[2:])
    group = attribute_int(node, "group", 1)
    if isinstance(weight, torch.Tensor) and tuple(weight.shape[1:]) == (1, 4, 4):
        if stride != 2 or style is not None or x.spacings() != Spacing(0, 1, 0):
            raise Unfit("a blur of stride 2 of a feature map without padding")
        spacing = Spacing(3 - before, 2, 3 - after)
        return _add_bias(node, inputs, _filter(node, x, weight, 1, spacing, group))
    if group != 1 or x.shape[0] != 1 or x.channel_axis != 1 or x.shape[1] != weight.shape[0]:
        raise Unfit(f"a weight for {x.shape[1]} channels in one group (one face)")
    if stride != 2 or x.spacings() != Spacing(0, 1, 0):
        raise Unfit("a transposed convolution of stride 2 without padding")
    turned = weight.permute((1, 0, 2, 3))
    matrix, energy = _read_weight(turned, style)  # pyright: ignore[reportArgumentType]
    chosen = style if style is not None else weight.style  # pyright: ignore
    edge = matrix.shape[-1] - 1
    spacing = Spacing(edge - before, 2, edge - after)
    return _add_bias(node, inputs, _style(node, x, matrix, chosen, spacing, True, energy))


def multiply_matrices(node: Node, inputs: Values) -> Value:
    """Recognise a linear layer."""
    a = first(inputs)
    matrix = constant(inputs, 1)
    alpha, beta = attribute_float(node, "alpha", 1), attribute_float(node, "beta", 1)
    if matrix is None or matrix.ndim != 2 or attribute_int(node, "transA", 0):
        raise Unfit("a vector multiplied by a constant matrix")
    if not attribute_int(node, "transB", 0):
        matrix = matrix.t()
    matrix = matrix if alpha == 1 else matrix * alpha
    if isinstance(a, Squares):
        return _sum_squares(a, matrix, inputs)
    if not isinstance(a, Map) or not a.is_plain or a.shape != (1, matrix.shape[1]):
        raise Unfit(f"a vector [1, {matrix.shape[1]}]")
    result = Map.of(Linear(node.name, (matrix.shape[0],), a.content, matrix))
    bias = constant(inputs, 2)
    return result if bias is None else shift(result, per_channel(result, beta * bias))


def _sum_squares(squares: Squares, matrix: torch.Tensor, inputs: Values) -> Energy:
    """Return the energies of output channels: squares of a style times those of the weights."""
    if squares.shape != (1, matrix.shape[1]) or constant(inputs, 2) is not None:
        raise Unfit(f"squares of {matrix.shape[1]} values")
    _check_numbers(squares.numbers, 1, matrix.shape[1])
    rows = torch.arange(matrix.shape[0])[None]
    return Energy(rows, matrix.double() * squares.coefficients.double(), squares.style)


def activate(node: Node, inputs: Values) -> Value:
    """Recognise an activation."""
    x = first(inputs)
    if abs(attribute_float(node, "alpha", 0.01) - SLOPE) > 2e-4:
        raise Unfit(f"a leaky ReLU of the slope {SLOPE}")
    if not isinstance(x, Map) or not x.is_plain:
        raise Unfit("a vector or a feature map without padding")
    shape = (x.channels, *x.content[0].terms[0][0].shape[1:])
    return replace(x, content=Map.of(Leaky(node.name, shape, x.content)).content)


LAYERS: dict[str, Callable[[Node, Values], Value]] = {
    "Conv": convolve, "ConvTranspose": transpose_convolve, "Gemm": multiply_matrices,
    "MatMul": multiply_matrices, "LeakyRelu": activate,
}  # fmt: skip
"""Operators that have weights of their own, and the activation."""
