"""The engine for GPUs as far as a CPU can run it; tests/test_gpu.py needs a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import by_strips, psnr, random_crops, random_network, relative_error
from packaging.version import Version

from gpen_core.arch import GPEN
from gpen_core.arch.cuda import fused, launch

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_kernels_compute_the_network() -> None:
    triton = pytest.importorskip("triton", reason="PyTorch brings triton; pip install triton")
    if Version(triton.__version__) < Version("3.2"):  # that of PyTorch 2.5
        pytest.skip("needs Triton 3.2: the interpreter of 3.1 takes no constants for arange")
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


def test_padding_layers_of_several_widths_changes_nothing(tiny_gpen: GPEN) -> None:
    weights = fused.prepare_weights(tiny_gpen)
    factors = fused._modulate(weights, torch.randn(3, tiny_gpen.config.style_dim))
    for tensor in (weights.energy, weights.unit, factors.scale, factors.gain, factors.rgb_weight):
        assert tensor.isfinite().all()
    widths = [layer.weight.shape[0 if layer.taps is not None else 1] for layer in weights.styled]
    assert len(set(widths)) > 1
    for number, width in enumerate(widths):
        assert factors.scale[:, number, :width].abs().amax(1) == pytest.approx([1] * 3)
        assert not factors.scale[:, number, width:].any()


def test_only_a_gpu_without_gradients_runs_the_kernels(tiny_gpen: GPEN, monkeypatch) -> None:
    on_meta = torch.rand(1, 3, 32, 32, device="meta")
    with torch.no_grad():
        assert not tiny_gpen._runs_fused(on_meta)
    on_cuda = type("Crops", (), {"device": torch.device("cuda"), "__len__": lambda _: 1})()
    monkeypatch.setattr(launch, "is_available", lambda _: True)
    assert not tiny_gpen._runs_fused(on_cuda)
    with torch.no_grad():
        assert tiny_gpen._runs_fused(on_cuda)
        monkeypatch.setattr(launch, "is_available", lambda _: False)
        assert not tiny_gpen._runs_fused(on_cuda)


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 3])
def test_a_gpu_gives_the_same_faces(count: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model, x = random_network(32, 64), random_crops(count, 32)
    wanted = by_strips(model, x)
    model.to("cuda")
    with torch.no_grad():
        assert relative_error(model(x.cuda()).cpu(), wanted) < 1e-3
        half = model.set_dtype(torch.float16)(x.cuda()).cpu()
    assert psnr(half, wanted) > 55
