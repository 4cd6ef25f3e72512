"""Convolutions with packed weights compared with torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gpen_core.arch.cpu import instructions, packed


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("inputs", [64, 130, 512])
@pytest.mark.parametrize("packs", [True, False])
def test_sums_over_many_channels_are_as_exact_as_over_few(
    inputs: int, stride: int, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packs:
        monkeypatch.setattr(packed, "_can_pack", lambda dtype: False)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, inputs, 19, 19, generator=generator)
    x = x.to(memory_format=torch.channels_last)
    weight, bias = torch.randn(64, inputs, 3, 3, generator=generator), torch.randn(64)
    found = packed.make_convolution(weight, bias, 19, stride=stride, slope=0.2)(x)
    wanted = F.conv2d(x.double(), weight.double(), bias.double(), stride)
    wanted = F.leaky_relu(wanted, 0.2)
    error = (found - wanted).norm() / wanted.norm()
    # The error is 1.2e-6 if all products of 512 channels are added up one after the other.
    assert error.item() < 9e-7
    assert found.shape == wanted.shape and found.dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 2)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (64, 32)])
def test_a_transposed_convolution_by_rows_equals_torchs(
    size: tuple[int, int], inputs: int, outputs: int
) -> None:
    x = torch.randn(1, inputs, *size).to(memory_format=torch.channels_last)
    weight = torch.randn(inputs, outputs, 3, 3)
    wanted = F.conv_transpose2d(x.double(), weight.double(), stride=2).float()
    # AMX computes bfloat16 this way; float32 puts the rows together in the same way.
    found = packed._make_by_rows(weight, size[1])(x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_amx_computes_transposed_convolutions_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    if not packed._can_pack(torch.bfloat16):
        pytest.skip("oneDNN does not compute in bfloat16 on this CPU")
    monkeypatch.setattr(instructions, "cpu_has", {"amx_tile"}.__contains__)
    used: list[int] = []
    by_rows = packed._make_by_rows
    monkeypatch.setattr(packed, "_make_by_rows", lambda *args: used.append(1) or by_rows(*args))
    weight = torch.randn(32, 16, 3, 3)
    packed.make_transposed_convolution(weight, 8)
    assert not used  # AMX does not compute float32
    x = torch.randn(1, 32, 8, 8).to(torch.bfloat16, memory_format=torch.channels_last)
    found = packed.make_transposed_convolution(weight.bfloat16(), 8)(x)
    wanted = F.conv_transpose2d(x.float(), weight.bfloat16().float(), stride=2)
    assert used and found.shape == wanted.shape
    torch.testing.assert_close(found.float(), wanted, rtol=0.01, atol=0.01)
