"""Convolutions whose weights are laid out once, not in every call.

oneDNN reads weights in an order of its own and reorders what comes in another. A strip takes less
time to compute than its layer's weights take to reorder. torch's ops for weights in that order are
those that `torch.compile` calls; where they are missing, the ordinary ones compute the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

Convolution = Callable[[torch.Tensor], torch.Tensor]
"""Convolves [1, I, H, W], channels_last, whatever its height."""

TYPICAL_ROWS = 16
"""Height for which the order is chosen; others are computed as exactly, and hardly slower."""

_OPS = (
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
)


def convolution(
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
    if not _packs(weight.dtype):
        kept = weight.clone()

        def plain(x: torch.Tensor) -> torch.Tensor:
            y = F.conv2d(x, kept, bias, stride, padding, groups=groups)
            return y if slope is None else F.leaky_relu_(y, slope)

        return plain
    ops, steps = torch.ops.mkldnn, [stride, stride]
    shape = [1, weight.shape[1] * groups, rows, width]
    packed = ops._reorder_convolution_weight(weight, padding, steps, [1, 1], groups, shape)
    after = ("none", []) if slope is None else ("leaky_relu", [slope])
    return lambda x: ops._convolution_pointwise(
        x, packed, bias, padding, steps, [1, 1], groups, *after, ""
    )


def transposed_convolution(weight: torch.Tensor, width: int) -> Convolution:
    """`F.conv_transpose2d` of stride 2 with this weight [I, O, k, k], no padding, no bias."""
    if not _packs(weight.dtype):
        kept = weight.clone()
        return lambda x: F.conv_transpose2d(x, kept, stride=2)
    ops = torch.ops.mkldnn
    shape = [1, weight.shape[0], TYPICAL_ROWS, width]
    packed = ops._reorder_convolution_transpose_weight(
        weight, [0, 0], [0, 0], [2, 2], [1, 1], 1, shape
    )
    return lambda x: ops._convolution_transpose_pointwise(
        x, packed, None, [0, 0], [0, 0], [2, 2], [1, 1], 1, "none", [], ""
    )


def _packs(dtype: torch.dtype) -> bool:
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPS):
        return False
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32
