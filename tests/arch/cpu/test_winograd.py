"""Winograd's convolution compared with the direct one, and when it is used."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import (
    activate,
    assert_frame_untouched,
    channels,
    dtypes,
    make_framed,
    needs_kernels,
    random_factors,
    random_pixels,
)
from networks import relative_error

from gpen_core.arch.cpu import instructions, launch, winograd
from gpen_core.arch.cpu.workspace import Workspace


@pytest.mark.parametrize("size", [(6, 8), (8, 4), (1, 12)])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 3e-2)])
def test_the_convolution_equals_the_direct_one(
    dtype: torch.dtype,
    most: float,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winograd, "OUTPUTS", 2)
    monkeypatch.setattr(winograd, "TILES", 2)
    height, width = size
    x = torch.randn(1, 5, height + 2, width + 2).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(3, 5, 3, 3), torch.randn(3)
    wanted = F.conv2d(x, weight, bias)
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    found = winograd.make_convolution(weight, bias, width + 2, Workspace())(x)
    assert found.shape == wanted.shape and found.dtype == dtype
    assert relative_error(found.float(), wanted) < most


@needs_kernels
@dtypes
@channels
@pytest.mark.parametrize("size", [(4, 8), (6, 8), (9, 16), (1, 4)])
def test_the_styled_layer_equals_the_direct_one(
    size: tuple[int, int], count: int, dtype: torch.dtype, most: float, monkeypatch
) -> None:
    monkeypatch.setattr(winograd, "OUTPUTS", 32)
    monkeypatch.setattr(winograd, "TILES", 2)
    height, width = size
    inputs, outputs = count, count + 16
    x = random_pixels(inputs, height + 2, width + 2, dtype)
    noise = random_pixels(outputs, height, width, dtype)
    weight = torch.randn(outputs, inputs, 3, 3).to(dtype)
    factors = random_factors(inputs, outputs)
    y = F.conv2d(x.float() * factors.style[:, None, None], weight.float())
    frame, out = make_framed(2 * outputs, height, width, dtype)
    products = winograd.prepare(weight, None, width // 4, Workspace())
    winograd.make_styled_layer(products, factors, Workspace())(x, noise, out)
    # The transformed inputs and weights are rounded, too.
    assert relative_error(out, activate(y, noise, factors)) < 3 * most
    assert_frame_untouched(frame)


@pytest.mark.parametrize(
    ("dtype", "cpu", "wanted"),
    [
        (torch.float32, set(), True),
        (torch.bfloat16, {"avx512_bf16"}, True),
        (torch.bfloat16, {"avx512_bf16", "amx_tile"}, False),
        (torch.bfloat16, set(), False),
        (torch.float16, {"avx512_bf16"}, False),
    ],
)
def test_it_is_faster_from_some_channels_and_sizes_on(
    dtype: torch.dtype, cpu: set[str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instructions, "cpu_has", cpu.__contains__)
    least = winograd.LEAST_CHANNELS.get(dtype, 64)
    for kernels in (False, True):
        monkeypatch.setattr(launch, "supports", lambda *_, kernels=kernels: kernels)
        weight = torch.empty(1, least * (1 if kernels else 2), 3, 3, dtype=dtype)
        assert winograd.is_faster(weight, 32) == wanted
        assert not winograd.is_faster(weight, 16)
        assert not winograd.is_faster(weight[:, 1:], 32)
