"""Makes convolutions that pack their weights once instead of in every call.

oneDNN reads weights in a layout that it chooses itself, and converts weights in any other layout in
every call, which takes longer than convolving a strip. torch has operations for packed weights, the
ones that `torch.compile` calls. Where they are missing, the ordinary operations compute the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from . import instructions
from .workspace import empty_rows

Convolution = Callable[[torch.Tensor], torch.Tensor]
"""Convolves [1, I, H, W] in channels_last layout, for any height H."""

TYPICAL_ROWS = 16
"""Height of the inputs for which oneDNN chooses the layout.

Other heights give the same result, but some weights make them slow; see `rows` below.
"""

ADDED_UP = 1152
"""Products that are added up one after the other in float32: 128 channels of a 3×3 convolution.

oneDNN's channels_last kernel adds up all products of an output in a row, and rounds after each. For
512 channels these are 4,608 products, and the result is twice as far from the exact sum.
"""

_OPS = (
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
)


def make_convolution(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    width: int,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
    slope: float | None = None,
    rows: int = TYPICAL_ROWS,
) -> Convolution:
    """Make `F.conv2d` with this weight [O, I/groups, k, k], followed by leaky ReLU.

    Args:
        width: width of the inputs.
        slope: slope of the leaky ReLU; None for no leaky ReLU.
        rows: typical height of the inputs. For the products of 512 output channels it must be the
            exact height: otherwise oneDNN packs the weights again in every call.
    """
    most = ADDED_UP // weight[0, 0].numel()
    if weight.dtype == torch.float32 and groups == 1 and weight.shape[1] > most:
        pack = functools.partial(
            make_convolution, width=width, stride=stride, padding=padding, rows=rows
        )
        first, *others = weight.split(most, dim=1)
        return _add_up([pack(first, bias), *(pack(part, None) for part in others)], most, slope)
    if not _can_pack(weight.dtype):
        copy = weight.clone()

        def plain(x: torch.Tensor) -> torch.Tensor:
            y = F.conv2d(x, copy, bias, stride, padding, groups=groups)
            return y if slope is None else F.leaky_relu_(y, slope)

        return plain
    ops, steps = torch.ops.mkldnn, [stride, stride]
    shape = [1, weight.shape[1] * groups, rows, width]
    packed = ops._reorder_convolution_weight(weight, padding, steps, [1, 1], groups, shape)
    after = ("none", []) if slope is None else ("leaky_relu", [slope])
    return lambda x: ops._convolution_pointwise(
        x, packed, bias, padding, steps, [1, 1], groups, *after, ""
    )


def _add_up(parts: Sequence[Convolution], inputs: int, slope: float | None) -> Convolution:
    """Add up convolutions, each of which takes the next `inputs` channels; then leaky ReLU."""

    def convolve(x: torch.Tensor) -> torch.Tensor:
        (first, first_x), *others = zip(parts, x.split(inputs, dim=1), strict=True)
        y = first(first_x)
        for part, part_x in others:
            y += part(part_x)
        return y if slope is None else F.leaky_relu_(y, slope)

    return convolve


def make_transposed_convolution(weight: torch.Tensor, width: int) -> Convolution:
    """Make `F.conv_transpose2d` of stride 2 with this weight [I, O, k, k]; no padding, no bias."""
    if not _can_pack(weight.dtype):
        copy = weight.clone()
        return lambda x: F.conv_transpose2d(x, copy, stride=2)
    if weight.dtype == torch.bfloat16 and instructions.cpu_has("amx_tile"):
        return _make_by_rows(weight, width)
    ops = torch.ops.mkldnn
    shape = [1, weight.shape[0], TYPICAL_ROWS, width]
    packed = ops._reorder_convolution_transpose_weight(
        weight, [0, 0], [0, 0], [2, 2], [1, 1], 1, shape
    )
    return lambda x: ops._convolution_transpose_pointwise(
        x, packed, None, [0, 0], [0, 0], [2, 2], [1, 1], 1, "none", [], ""
    )


def _make_by_rows(weight: torch.Tensor, width: int) -> Convolution:
    """Make a transposed convolution of two convolutions, for its even and its odd rows.

    A quarter of their products are with zeros, but with AMX oneDNN's convolutions compute about 4 ×
    as many products per second as its transposed convolutions; see benchmarks/NOTES.md.
    """
    taps = weight.transpose(0, 1)
    # Output column 2j adds up input columns j − 1 and j times taps 2 and 0; column 2j + 1 is input
    # column j times tap 1. Rows work in the same way. A convolution computes a pair of columns,
    # whose channels are its outputs [2·O].
    pairs = torch.cat([taps[..., [2, 0]], F.pad(taps[..., 1:2], (1, 0))])
    compute_even = make_convolution(pairs[:, :, [2, 0]], None, width, padding=(1, 1))
    compute_odd = make_convolution(pairs[:, :, 1:2], None, width, padding=(0, 1))

    def convolve(x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        rows = empty_rows(len(pairs), 2 * height + 1, width + 1, x.dtype)
        rows[:, :, ::2] = compute_even(x)
        rows[:, :, 1::2] = compute_odd(x)
        y = rows.permute(0, 2, 3, 1).view(1, 2 * height + 1, 2 * width + 2, -1)
        return y.permute(0, 3, 1, 2)[..., :-1]

    return convolve


def _can_pack(dtype: torch.dtype) -> bool:
    """Tell whether torch has its operations for packed weights, and oneDNN computes in `dtype`."""
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPS):
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32
