"""The form of the network for GPUs, as far as a CPU can run it; the rest is in test_gpu.py."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gpen_core.arch import GPEN
from gpen_core.arch.cuda import folded_fir, fused, launch
from gpen_core.arch.layers import FIR
from gpen_core.arch.precision import exact_convolutions
from gpen_core.training.discriminator import Discriminator

ROOT = Path(__file__).resolve().parents[3]


def test_kernels_compute_the_network() -> None:
    pytest.importorskip("triton", reason="PyTorch brings triton on Linux; pip install triton")
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "interpreted_kernels.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    errors = json.loads(run.stdout)
    assert len(errors) == 4
    for name, error in errors.items():
        assert error < (3e-3 if "float16" in name else 2e-6), name


def test_firs_in_weights_change_nothing(tiny_gpen: GPEN, monkeypatch) -> None:
    model, discriminator = copy.deepcopy(tiny_gpen), Discriminator((8, 8, 6, 4))
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    kernel = torch.rand(4, 4)  # GPEN's is symmetric, which would hide a mistake
    for module in (*model.modules(), *discriminator.modules()):
        if isinstance(module, FIR):
            module.kernel = kernel

    def results() -> list[torch.Tensor]:
        y = model(x.requires_grad_())  # with gradients: by modules
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        return [y, gradient, discriminator(x)[0]]

    sides = []
    plain = F.conv2d

    def spied(x: torch.Tensor, weight: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        sides.append(weight.shape[-1])
        return plain(x, weight, *args, **kwargs)

    monkeypatch.setattr(F, "conv2d", spied)
    expected = results()
    assert 6 not in sides
    monkeypatch.setattr(folded_fir, "is_faster", lambda _: True)
    for found, wanted in zip(results(), expected, strict=True):
        assert (found - wanted).norm() < 1e-5 * wanted.norm()
    assert sides.count(6) == 3 + 3


def test_layers_of_several_widths_are_padded_with_what_changes_nothing(tiny_gpen: GPEN) -> None:
    weights = fused.prepare_weights(tiny_gpen)
    factors = fused._modulate(weights, torch.randn(3, tiny_gpen.config.style_dim))
    for tensor in (weights.energy, weights.unit, factors.scale, factors.gain, factors.rgb_weight):
        assert tensor.isfinite().all()
    widths = [layer.weight.shape[0 if layer.taps is not None else 1] for layer in weights.styled]
    assert len(set(widths)) > 1
    for number, width in enumerate(widths):
        assert factors.scale[:, number, :width].abs().amax(1) == pytest.approx([1] * 3)
        assert not factors.scale[:, number, width:].any()


def test_only_a_gpu_without_gradients_takes_the_kernels(tiny_gpen: GPEN, monkeypatch) -> None:
    faces = torch.rand(1, 3, 32, 32, device="meta")
    with torch.no_grad():
        assert not tiny_gpen._runs_fused(faces)
    seen = type("Faces", (), {"device": torch.device("cuda"), "__len__": lambda _: 1})()
    monkeypatch.setattr(launch, "is_available", lambda _: True)
    assert not tiny_gpen._runs_fused(seen)
    with torch.no_grad():
        assert tiny_gpen._runs_fused(seen)
        monkeypatch.setattr(launch, "is_available", lambda _: False)
        assert not tiny_gpen._runs_fused(seen)


def test_where_triton_fails_it_says_why_once_and_is_not_used(monkeypatch) -> None:
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


def test_without_triton_nothing_is_said(monkeypatch) -> None:
    monkeypatch.setattr(launch, "has_triton", lambda: False)
    launch.is_available.cache_clear()
    assert not launch.is_available(torch.device("cpu"))
    launch.is_available.cache_clear()


def test_float32_on_a_gpu_is_not_tf32_and_others_keep_their_setting() -> None:
    x = type("Faces", (), {"device": torch.device("cuda")})()
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    for allowed in (True, False):
        cudnn.allow_tf32 = allowed
        for dtype, inside in ((torch.float32, False), (torch.float16, allowed)):
            with pytest.raises(KeyError), exact_convolutions(x, dtype):
                assert cudnn.allow_tf32 is inside
                raise KeyError
            assert cudnn.allow_tf32 is allowed
    cudnn.allow_tf32 = before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="needs PyTorch 2.9 or newer")
def test_precisions_set_by_operator_stay() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.conv.fp32_precision = "tf32"
    cudnn.rnn.fp32_precision = "ieee"
    x = type("Faces", (), {"device": torch.device("cuda")})()
    with exact_convolutions(x, torch.float32):
        assert cudnn.conv.fp32_precision == "tf32"
    cudnn.allow_tf32 = before
