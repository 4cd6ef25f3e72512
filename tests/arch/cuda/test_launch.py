"""When the Triton kernels run."""

from __future__ import annotations

import pytest
import torch

from gpen_core.arch.cuda import launch


def test_a_triton_that_fails_is_warned_about_once_and_not_used(monkeypatch) -> None:
    pytest.importorskip("triton", reason="PyTorch brings triton on Linux; pip install triton")

    def refuse() -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC.")

    monkeypatch.setattr(launch, "_kernels", refuse)
    launch.is_available.cache_clear()
    message = r"runs without it there.*apt install gcc.*find C compiler"
    with pytest.warns(UserWarning, match=message):
        assert not launch.is_available(torch.device("cpu"))
    assert not launch.is_available(torch.device("cpu"))
    launch.is_available.cache_clear()


def test_without_triton_there_is_no_warning(monkeypatch) -> None:
    monkeypatch.setattr(launch, "has_triton", lambda: False)
    launch.is_available.cache_clear()
    assert not launch.is_available(torch.device("cpu"))
    launch.is_available.cache_clear()
