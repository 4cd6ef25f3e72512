"""3×3 convolution with 4/9 of the multiplications: Winograd's F(2×2, 3×3).

Lavin and Gray 2016, arXiv 1509.09308, section 4.1. Tiles of 4×4 inputs, two apart, and the filter
are transformed, multiplied in 16 products over the channels, and transformed back to 2×2 outputs.
In float32 this is no less exact than the direct sum, which is longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from .workspace import Workspace


def pays(weight: torch.Tensor, size: int) -> bool:
    """Whether the products saved outweigh the transforms, at `size` px; benchmarks/NOTES.md.

    In half precision they do not, and rounding the transformed inputs would cost accuracy.
    """
    return weight.dtype == torch.float32 and weight.shape[1] >= 512 and size >= 32


def transform_weight(weight: torch.Tensor, workspace: Workspace, name: str) -> torch.Tensor:
    """G·g·Gᵀ of a weight [O, I, 3, 3], as [4, 4, O, I] in the workspace, under `name`."""
    out = workspace.take(name, (4, 4, *weight.shape[:2]), weight.dtype)
    taps = weight.permute(2, 3, 0, 1)  # [3, 3, O, I]
    for row, filtered in enumerate(_transform_taps(*taps)):
        for column, transformed in enumerate(_transform_taps(*filtered)):
            out[row, column] = transformed
    return out


def conv2d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, workspace: Workspace
) -> torch.Tensor:
    """As `F.conv2d(x, weight, bias, padding=(0, 1))`.

    Args:
        x: [1, I, H + 2, W], channels_last; W is even.
        weight: [4, 4, O, I], from `transform_weight`.
        bias: [O].

    Returns:
        [1, O, H, W], channels_last.
    """
    wanted = x.shape[2] - 2
    x = F.pad(x, (0, 0, 0, wanted % 2))  # to whole tiles
    inputs, height, width = x.shape[1], x.shape[2] - 2, x.shape[3]
    tiles = (height // 2, width // 2)
    filtered = workspace.take("winograd rows", (4, tiles[0], width + 2, inputs), x.dtype)
    filtered[:, :, 0] = 0
    filtered[:, :, -1] = 0
    _transform_inputs(x[0].permute(1, 2, 0), 0, filtered[:, :, 1:-1])
    transformed = workspace.take("winograd tiles", (4, 4, *tiles, inputs), x.dtype)
    for row in range(4):
        _transform_inputs(filtered[row], 1, transformed[row])

    y = torch.empty(1, len(bias), height, width, memory_format=torch.channels_last)
    columns = []
    for column in range(4):
        # The product at (1, 1) goes into all four outputs, with weight one, and so may the bias.
        products = [
            _multiply(
                transformed[row, column], weight[row, column], bias if row == column == 1 else None
            )
            for row in range(4)
        ]
        columns.append(_transform_products(*products))
    for row, products in enumerate(zip(*columns, strict=True)):
        for column, outputs in enumerate(_transform_products(*products)):
            y[:, :, row::2, column::2] = outputs
    return y[:, :, :wanted]


def _transform_taps(
    first: torch.Tensor, second: torch.Tensor, third: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """G·g along one axis."""
    ends, middle = (first + third) / 2, second / 2
    return first, ends + middle, ends - middle, third


def _transform_inputs(x: torch.Tensor, dim: int, out: torch.Tensor) -> None:
    """Bᵀ·d along `dim`, for all tiles there, into out [4, …]."""
    first, second, third, fourth = x.unfold(dim, 4, 2).unbind(-1)
    torch.sub(first, third, out=out[0])
    torch.add(second, third, out=out[1])
    torch.sub(third, second, out=out[2])
    torch.sub(second, fourth, out=out[3])


def _multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """[h, w, I] times [O, I], as [1, O, h, w]: a 1×1 convolution, for which oneDNN is fastest."""
    return F.conv2d(x[None].permute(0, 3, 1, 2), weight[:, :, None, None], bias)


def _transform_products(
    first: torch.Tensor, second: torch.Tensor, third: torch.Tensor, fourth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Aᵀ·m along one axis."""
    return (second + third).add_(first), (second - third).sub_(fourth)
