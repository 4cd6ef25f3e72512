"""3×3 convolution with a quarter of the multiplications: Winograd's F(4×4, 3×3).

Lavin and Gray 2016, arXiv 1509.09308, section 4.3. Tiles of 6×6 inputs, four apart, and the filter
are transformed, multiplied in 36 products over the channels, and transformed back to 4×4 outputs.

Along an axis, the filter's transform evaluates a polynomial at 0, P, −P, Q, −Q and infinity, in
this order; see `points`. The values at ±P and ±Q are multiplied by P and Q, which saves
multiplications when the products are transformed back. With torch's operations, a transform takes
many passes over the pixels; a compiled kernel takes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from . import instructions, launch, packed
from .points import P, Q
from .workspace import empty_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .factors import Factors
    from .workspace import Workspace

ONE = (0, (Q + 2) / 6, (Q - 2) / 6, (Q + 1) / 6, (Q - 1) / 6, 0)
"""The products that transform back to 1, 1, 1, 1: along an axis, a bias multiplies these."""

LEAST_CHANNELS = {torch.float32: 64, torch.bfloat16: 128}
"""Input channels from which the kernels are faster; torch's operations need twice as many.

See benchmarks/NOTES.md.
"""

LEAST_SIZE = 32
"""Side in pixels from which it is faster."""

TILES = 128
"""Tiles per thread at a time: few stay in cache, but many make reading the weights worthwhile."""

OUTPUTS = 128
"""Output channels at a time, for the same reason."""


def _is_faster_in(dtype: torch.dtype) -> bool:
    """Tell whether it can be faster in this dtype on this CPU.

    In bfloat16, rounding the transformed inputs costs 0 to 1.2 of about 47 dB. With AMX, which
    multiplies bfloat16 fast, the transforms would take longer than the products that they save.
    """
    return dtype == torch.float32 or (
        dtype == torch.bfloat16
        and instructions.cpu_has("avx512_bf16")
        and not instructions.cpu_has("amx_tile")
    )


def is_faster(weight: torch.Tensor, size: int) -> bool:
    """Tell whether it saves more time on products than the transforms take.

    Args:
        weight: [O, I, 3, 3].
        size: side of the outputs in pixels.
    """
    if not _is_faster_in(weight.dtype):
        return False
    outputs, inputs = weight.shape[:2]
    least = LEAST_CHANNELS[weight.dtype]
    if not launch.supports(weight.dtype, inputs, outputs):
        least *= 2
    return inputs >= least and size >= LEAST_SIZE


def prepare(
    weight: torch.Tensor, bias: torch.Tensor | None, across: int, workspace: Workspace
) -> list[packed.Convolution]:
    """Make the 36 products with weights [O, I, 3, 3], as 1×1 convolutions in 36 groups.

    Each maps [1, 36·I, h, across] to [1, 36·o, h, across] for the next o of the O outputs.

    Args:
        bias: [O].
        across: tiles in a row of tiles.
    """
    parts = _split_channels(weight)
    biases = [None] * len(parts) if bias is None else _split_channels(bias)
    return [
        _make_products(part, part_bias, across, workspace)
        for part, part_bias in zip(parts, biases, strict=True)
    ]


def make_convolution(
    weight: torch.Tensor, bias: torch.Tensor | None, width: int, workspace: Workspace
) -> packed.Convolution:
    """Make `packed.make_convolution(weight, bias, width)` with torch's operations alone.

    Args:
        weight: [O, I, 3, 3].
        width: width of the inputs, W + 2; W must be a multiple of 4.
    """
    across, outputs = width // 4, len(weight)
    multiplications = prepare(weight, bias, across, workspace)

    def convolve(x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[2] - 2
        if rows % 4:
            x = F.pad(x, (0, 0, 0, -rows % 4))  # to whole tiles
        height = x.shape[2] - 2
        y = empty_rows(outputs, height, 4 * across, x.dtype)
        for start, stop in _split_rows(height, across):
            tiles = transform_inputs(x[:, :, start : stop + 2], workspace)
            parts = _split_channels(y[:, :, start:stop], dim=1)
            for multiply, part in zip(multiplications, parts, strict=True):
                transform_products(multiply(tiles), part, workspace)
        return y[:, :, :rows]

    return convolve


def make_styled_layer(
    multiplications: list[packed.Convolution], factors: Factors, workspace: Workspace
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Make a styled layer that the kernels compute.

    It maps x [1, I, H + 2, W + 2] and noise [1, O, H, W] into out [1, 2·O, H, W].

    Args:
        multiplications: the result of `prepare` without a bias.
    """

    def run(x: torch.Tensor, noise: torch.Tensor, out: torch.Tensor) -> None:
        inputs, across = x.shape[1], x.shape[3] // 4
        for start, stop in _split_rows(out.shape[2], across):
            shape = (-(-(stop - start) // 4), across, 36, inputs)
            tiles = workspace.take("winograd tiles", shape, x.dtype)
            launch.to_winograd(x[:, :, start : stop + 2], factors.style, tiles)
            pixels = tiles.flatten(2)[None].permute(0, 3, 1, 2)
            part, noise_part = out[:, :, start:stop], noise[:, :, start:stop]
            first = 0
            for multiply in multiplications:
                products = multiply(pixels)
                launch.from_winograd(products, factors, first, noise_part, part)
                first += products.shape[1] // 36

    return run


def _split_channels(x: torch.Tensor, dim: int = 0) -> Sequence[torch.Tensor]:
    """Split x into parts of at most OUTPUTS channels and nearly the same size."""
    return x.tensor_split(-(-x.shape[dim] // OUTPUTS), dim)


def _split_rows(height: int, across: int) -> Iterator[tuple[int, int]]:
    """Yield the rows [start, stop) that are computed at a time."""
    rows = 4 * max(TILES * torch.get_num_threads() // across, 1)
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def _make_products(
    weight: torch.Tensor, bias: torch.Tensor | None, tiles: int, workspace: Workspace
) -> packed.Convolution:
    """Make the 36 products of a part of the outputs, [1, 36·I, h, tiles] to [1, 36·O, h, tiles]."""
    outputs, inputs = weight.shape[:2]
    filtered = workspace.take("winograd taps", (6, 3, outputs, inputs), torch.float32)
    _evaluate_taps(weight.float().permute(2, 3, 0, 1).unbind(0), filtered.unbind(0))
    transformed = workspace.take("winograd weight", (6, 6, outputs, inputs), torch.float32)
    _evaluate_taps(filtered.unbind(1), transformed.unbind(1))
    rounded = transformed.view(-1, inputs, 1, 1).to(weight.dtype)
    if bias is not None:
        ones = torch.tensor(ONE, dtype=torch.float32, device=bias.device)
        bias = (ones[:, None, None] * ones[:, None] * bias).flatten().to(weight.dtype)
    return packed.make_convolution(rounded, bias, tiles, groups=36)


def _evaluate_taps(taps: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
    """Evaluate three taps along an axis into six values."""
    first, second, third = taps
    third_of_second = second / 3
    out[0].copy_(first)
    even = torch.add(third, first, alpha=2).mul_(-P / 3)
    torch.sub(even, third_of_second, out=out[1])
    torch.add(even, third_of_second, out=out[2])
    torch.add(first, third, alpha=2, out=even).mul_(Q / 6)
    torch.add(even, third_of_second, out=out[3])
    torch.sub(even, third_of_second, out=out[4])
    out[5].copy_(third)


def transform_inputs(x: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """Transform inputs [1, I, 4h + 2, 4w + 2] to [1, 36·I, h, w], channels_last."""
    inputs, rows, (height, width) = x.shape[1], x.shape[2], (x.shape[2] // 4, x.shape[3] // 4)
    columns = workspace.take("winograd columns", (rows, width, 6, inputs), x.dtype)
    windows = x[0].permute(1, 2, 0).unfold(1, 6, 4)
    _transform_input_axis(windows.movedim(-1, 0), columns.movedim(2, 0))
    tiles = workspace.take("winograd tiles", (height, width, 6, 6, inputs), x.dtype)
    _transform_input_axis(columns.unfold(0, 6, 4).movedim(-1, 0), tiles.movedim(2, 0))
    return tiles.view(1, height, width, -1).permute(0, 3, 1, 2)


def _transform_input_axis(x: torch.Tensor, out: torch.Tensor) -> None:
    """Transform inputs x [6, …] along an axis into out [6, …]."""
    torch.sub(x[:2] + x[4:], x[2:4], alpha=2.5, out=out[::5])
    odd, even = torch.sub(x[3:5], x[1:3], alpha=0.5)
    torch.add(even, odd, alpha=Q, out=out[3])
    torch.sub(even, odd, alpha=Q, out=out[4])
    odd, even = torch.sub(x[3:5], x[1:3], alpha=2)
    torch.add(even, odd, alpha=P, out=out[1])
    torch.sub(even, odd, alpha=P, out=out[2])


def transform_products(x: torch.Tensor, out: torch.Tensor, workspace: Workspace) -> None:
    """Transform products x [1, 36·O, h, w], channels_last, to outputs [1, O, 4h, 4w] in out."""
    outputs, (height, width) = out.shape[1], x.shape[2:]
    products = x[0].permute(1, 2, 0).view(height, width, 6, 6, outputs)
    rows = workspace.take("winograd rows", (4, height, width, 6, outputs), x.dtype)
    _transform_product_axis(products.movedim(2, 0), rows.unbind(0))
    tiles = out[0].permute(1, 2, 0).unflatten(1, (width, 4)).unflatten(0, (height, 4))
    _transform_product_axis(rows.movedim(3, 0), tiles.transpose(0, 1).unbind(3))


def _transform_product_axis(x: torch.Tensor, out: Sequence[torch.Tensor]) -> None:
    """Transform products x [6, …] along an axis into four outputs."""
    low, high = x[1:4:2] + x[2:5:2]
    torch.add(low, high, alpha=2, out=out[2]).mul_(P)
    low.add_(high, alpha=0.5)
    torch.add(x[0], low, alpha=Q, out=out[0])
    low, high = x[1:4:2] - x[2:5:2]
    torch.add(low, high, out=out[1])
    torch.add(x[5], low, alpha=0.5, out=out[3]).add_(high, alpha=2)
