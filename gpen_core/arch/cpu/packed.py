"""Convolutions whose weights are laid out once, not in every call.

oneDNN reads weights in an order of its own and reorders what comes in another. A strip takes less
time to compute than its layer's weights take to reorder. torch's ops for weights in that order are
those that `torch.compile` calls; where they are missing, the ordinary ones compute the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from . import instructions
from .workspace import empty_rows

Convolution = Callable[[torch.Tensor], torch.Tensor]
"""Convolves [1, I, H, W], channels_last, whatever its height."""

TYPICAL_ROWS = 16
"""Height for which the order is chosen; others are computed as exactly, and hardly slower."""

ADDED_UP = 1152
"""Products that float32 adds up one after the other, 128 channels of a 3×3 convolution.

oneDNN's kernel for channels_last adds up all that there are so, and rounds as often: 4,608 of 512
channels are twice as far from the exact sum.
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
    """`F.conv2d` with this weight [O, I/groups, k, k]; then leaky ReLU.

    Args:
        width: of the inputs.
        rows: their typical height, which some weights must be laid out for.
        slope: of the leaky ReLU; None is none.
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
    """The sum of convolutions, each of the next `inputs` channels; then leaky ReLU."""

    def convolve(x: torch.Tensor) -> torch.Tensor:
        (first, of_first), *others = zip(parts, x.split(inputs, dim=1), strict=True)
        y = first(of_first)
        for part, of_part in others:
            y += part(of_part)
        return y if slope is None else F.leaky_relu_(y, slope)

    return convolve


def make_transposed_convolution(weight: torch.Tensor, width: int) -> Convolution:
    """`F.conv_transpose2d` of stride 2 with this weight [I, O, k, k], no padding, no bias."""
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
    """`transposed_convolution` as two convolutions, of its even and of its odd rows.

    A quarter of what they multiply are zeros, but oneDNN's convolutions by AMX multiply 4 × as much
    in a second as its transposed ones; benchmarks/NOTES.md.
    """
    taps = weight.transpose(0, 1)
    # Pixel 2j is made of pixels j − 1 and j by taps 2 and 0, pixel 2j + 1 of pixel j by tap 1; of
    # rows the same is true. Two pixels' channels are the outputs [2·O].
    pixels = torch.cat([taps[..., [2, 0]], F.pad(taps[..., 1:2], (1, 0))])
    of_even = make_convolution(pixels[:, :, [2, 0]], None, width, padding=(1, 1))
    of_odd = make_convolution(pixels[:, :, 1:2], None, width, padding=(0, 1))

    def convolve(x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        rows = empty_rows(len(pixels), 2 * height + 1, width + 1, x.dtype)
        rows[:, :, ::2] = of_even(x)
        rows[:, :, 1::2] = of_odd(x)
        y = rows.permute(0, 2, 3, 1).view(1, 2 * height + 1, 2 * width + 2, -1)
        return y.permute(0, 3, 1, 2)[..., :-1]

    return convolve


def _can_pack(dtype: torch.dtype) -> bool:
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPS):
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32
