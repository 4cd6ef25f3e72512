"""When the CPU kernels run, and when torch computes instead."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys

import pytest
import torch
from kernel_inputs import needs_kernels
from networks import WIDE, by_modules, random_network, relative_error

from gpen_core.arch.cpu import launch


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="needs Linux on x86-64"
)
def test_kernels_run_with_what_make_test_installs() -> None:
    assert all(launch.is_available(dtype) for dtype in launch.DTYPES)


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile again instead of using the cached kernels."""
    monkeypatch.setattr(launch, "_compile_once", launch._compile_once.__wrapped__)


def test_without_gnus_openmp_or_llvmlite_torch_computes(
    nothing_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_openmp", lambda: None)
    assert not launch.supports(torch.float32, 16)
    model, x = random_network(widths=WIDE), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(model(x), by_modules(model, x)) < 2e-6
    monkeypatch.setattr(launch, "_openmp", lambda: ctypes.CDLL(None))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not launch.supports(torch.float32, 16)


@needs_kernels
def test_a_compiler_that_fails_is_named_and_torch_computes(
    nothing_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("LLVM ERROR: unknown CPU")

    monkeypatch.setattr(launch, "_compile", fail)
    with pytest.warns(UserWarning, match=r"runs without it.*llvmlite.*unknown CPU"):
        assert not launch.supports(torch.float32, 16)


@needs_kernels
def test_few_channels_and_other_dtypes_are_left_to_torch() -> None:
    assert launch.supports(torch.bfloat16, 16, 40)
    assert not launch.supports(torch.float32, 40, 15)
    assert not launch.supports(torch.float16, 40)
