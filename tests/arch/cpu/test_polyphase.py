"""Convolutions of stride 2 in phases compared with direct ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import (
    assert_frame_untouched,
    channels,
    dtypes,
    make_framed,
    needs_kernels,
    random_pixels,
)
from networks import relative_error

from gpen_core.arch.cpu import polyphase
from gpen_core.arch.cpu.points import PRODUCTS, WEIGHTS
from gpen_core.arch.cpu.workspace import Workspace

# The table in the docstring of `polyphase`: outputs (row, column), taps (rows, columns), products.
PHASES = {
    "both": ((0, 0), ([0, 2], [0, 2]), 25, 25),
    "rows": ((0, 1), ([0, 2], [1]), 20, 5),
    "columns": ((1, 0), ([1], [0, 2]), 20, 5),
    "none": ((1, 1), ([1], [1]), 16, 1),
}


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (5, 4), (13, 16)])
def test_the_transposed_convolution_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float
) -> None:
    x, style = random_pixels(count, *size, dtype), torch.rand(count) + 0.5
    weight = torch.randn(24, count, 3, 3).to(dtype)
    wanted = F.conv_transpose2d(
        x.float() * style[:, None, None], weight.float().transpose(0, 1), stride=2
    )
    phases = polyphase.prepare(weight, 1, size[1] // 4)
    found = polyphase.make_transposed_convolution(phases, style, 24, Workspace())(x)
    assert found.shape == wanted.shape
    assert relative_error(found, wanted) < 3 * most


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (8, 4)])
def test_the_convolution_of_stride_2_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float
) -> None:
    height, width = size
    x, bias = random_pixels(count, 2 * height + 1, 2 * width + 1, dtype), torch.randn(24)
    weight = torch.randn(24, count, 3, 3).to(dtype)
    wanted = F.leaky_relu(F.conv2d(x.float(), weight.float(), bias, stride=2), 0.2)
    frame, out = make_framed(24, height, width, dtype)
    phases = polyphase.prepare(weight, height // 4, width // 4)
    polyphase.make_convolution(phases, bias, Workspace())(x, out)
    assert relative_error(out, wanted) < 3 * most
    assert_frame_untouched(frame)


@needs_kernels
@pytest.mark.parametrize("name", PHASES)
def test_the_table_of_phases_is_true(name: str) -> None:
    (row, column), (tap_rows, tap_columns), products, weights = PHASES[name]
    index = list(PHASES).index(name)
    assert (PRODUCTS[index], WEIGHTS[index]) == (products, weights)
    taps = torch.zeros(16, 16, 3, 3)
    for i in tap_rows:
        for j in tap_columns:
            taps[:, :, i, j] = torch.randn(16, 16)
    phases = polyphase.prepare(taps, 1, 2)
    seen = {}

    def spy(name: str) -> polyphase.packed.Convolution:
        def multiply(x: torch.Tensor) -> torch.Tensor:
            seen[name] = getattr(phases, name)(x)
            return seen[name]

        return multiply

    spied = polyphase.Phases(*(spy(name) for name in PHASES))
    x = random_pixels(16, 4, 8, torch.float32)
    convolve = polyphase.make_transposed_convolution(spied, torch.ones(16), 16, Workspace())
    y = convolve(x)
    # Products of other phases are zero, and so are all outputs but this phase's.
    assert [other for other in PHASES if seen[other].any()] == [name]
    assert seen[name].numel() == products * 2 * 16  # two tiles, 16 outputs
    assert y[:, :, row::2, column::2].any()
    y[:, :, row::2, column::2] = 0
    assert not y.any()


@needs_kernels
def test_it_is_faster_in_float32_from_some_channels_and_sizes_on() -> None:
    weight = torch.empty(128, 256, 3, 3)
    assert polyphase.is_faster(weight, 32)
    assert not polyphase.is_faster(weight, 16)
    assert not polyphase.is_faster(weight[:, :64], 32)
    assert not polyphase.is_faster(weight.bfloat16(), 32)
