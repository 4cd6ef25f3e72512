"""The fast layers compared with the plain ones of `reference`."""

from __future__ import annotations

import inspect

import pytest
import torch
from networks import relative_error

from gpen_core.arch import ops, reference

# An asymmetric blur, which shows a filter that is flipped or transposed by mistake.
LOPSIDED = torch.arange(16.0).reshape(4, 4).double() / 30


@pytest.mark.parametrize("size", [(2, 2), (5, 8), (16, 3)])
@pytest.mark.parametrize("padding", [(2, 2), (1, 1), (2, 1)])
def test_fast_fir_equals_the_reference(size: tuple[int, int], padding: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = LOPSIDED + LOPSIDED.flip(0, 1)  # symmetric about its centre, as ops.fir asks
    found, wanted = ops.fir(x, kernel, padding), reference.fir(x, kernel, padding)
    assert relative_error(found, wanted) < 1e-12


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 8)])
def test_fast_fir_upsampling_equals_the_reference(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = LOPSIDED + LOPSIDED.flip(0, 1)
    found, wanted = ops.fir_upsample(x, kernel), reference.fir_upsample(x, kernel)
    assert found.shape == (2, 3, 2 * size[0], 2 * size[1])
    assert relative_error(found, wanted) < 1e-12


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("upsample", [True, False])
def test_fast_modulated_convolution_equals_the_reference(
    kernel_size: int, demodulate: bool, upsample: bool
) -> None:
    x = torch.randn(3, 5, 6, 7)
    weight = torch.randn(4, 5, kernel_size, kernel_size)
    style = 1 + torch.randn(3, 5)
    found, wanted = (
        module.modulated_conv(x, weight, style, demodulate=demodulate, upsample=upsample)
        for module in (ops, reference)
    )
    assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize("name", ["fir", "fir_upsample", "modulated_conv"])
def test_reference_takes_the_same_arguments(name: str) -> None:
    fast, slow = getattr(ops, name), getattr(reference, name)
    assert inspect.signature(fast) == inspect.signature(slow)
