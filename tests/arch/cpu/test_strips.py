"""Strips compared with the plain modules and the reference."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from networks import by_modules, by_strips, psnr, random_crops, random_network, relative_error

from gpen_core.arch.cpu import packed, rgb, strips, styled, winograd
from gpen_core.arch.reference import ReferenceGPEN


@pytest.mark.parametrize("noise", ["concat", "add"])
@pytest.mark.parametrize("set_dtype", [False, True])
@pytest.mark.parametrize("forward", [by_modules, by_strips])
def test_modules_and_strips_equal_the_reference(forward, set_dtype: bool, noise: str) -> None:
    model = random_network(noise=noise)
    if set_dtype:
        model.set_dtype(torch.float32)
    x = random_crops(2)
    assert relative_error(forward(model, x), ReferenceGPEN(model)(x)) < 2e-6


@pytest.mark.parametrize("sizes", [(64, 64), (16, 64), (64, 128)])
@pytest.mark.parametrize("strip_bytes", [1, 1 << 10, 1 << 13])
@pytest.mark.parametrize("chained", [1, 2, 3])
def test_strips_of_any_height_are_exact(
    sizes: tuple[int, int], strip_bytes: int, chained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = random_network(*sizes), random_crops(1, sizes[0])
    wanted = by_modules(model, x, noise_seed=3)
    monkeypatch.setattr(strips, "STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(strips, "CHAINED", chained)
    monkeypatch.setattr(rgb, "BYTES", strip_bytes)
    assert relative_error(by_strips(model, x, noise_seed=3), wanted) < 2e-6


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_strips_are_exact_with_winograd(
    dtype: torch.dtype, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = random_network(), random_crops(1)
    wanted = by_modules(model, x)
    monkeypatch.setattr(strips, "STRIP_BYTES", 1 << 10)
    monkeypatch.setattr(winograd, "is_faster", lambda weight, size: True)
    assert relative_error(by_strips(model.set_dtype(dtype), x), wanted) < most


def test_weights_that_torch_cannot_pack_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = random_network(), random_crops(1)
    wanted = by_modules(model, x)
    monkeypatch.setattr(packed, "_can_pack", lambda dtype: False)
    assert relative_error(by_strips(model, x), wanted) < 2e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scaled", [0, 16])
def test_styles_may_multiply_weights_or_inputs(
    scaled: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = random_network(32, 64).set_dtype(dtype), random_crops(1, 32)
    wanted = by_strips(model, x)
    monkeypatch.setattr(styled, "SCALED", scaled)
    found = by_strips(copy.deepcopy(model), x)
    assert psnr(found, wanted) > (110 if dtype == torch.float32 else 45)


def test_threads_do_not_share_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen_core.arch.cpu.workspace.SMALL", 0)
    model, x = random_network(), random_crops(8)
    wanted = [by_strips(model, crop) for crop in x.split(1)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda crop: by_strips(model, crop), x.split(1)))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
