"""Half precision stays close and finite; float32 on a GPU is not rounded to TF32."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from networks import by_modules, by_strips, psnr, random_crops, random_network
from safetensors import safe_open

from gpen_core.arch import GPEN, read_config
from gpen_core.arch.precision import exact_convolutions
from gpen_core.checkpoints.loading import load_gpen


@pytest.mark.parametrize("forward", [by_modules, by_strips])
@pytest.mark.parametrize(("dtype", "wanted"), [(torch.bfloat16, 45), (torch.float16, 60)])
def test_half_precision_stays_close_to_float32(forward, dtype: torch.dtype, wanted: float) -> None:
    model, x = random_network(), random_crops(2)
    exact = forward(model, x)
    half = forward(model.set_dtype(dtype), x)
    assert half.dtype == torch.float32
    assert psnr(half, exact) > wanted


@pytest.mark.parametrize("forward", [by_modules, by_strips])
def test_bfloat16_stays_close_on_the_built_in_model(forward) -> None:
    skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image: '.[demo]'")
    photograph = torch.from_numpy(skimage_data.astronaut()[:256, 96:352]).permute(2, 0, 1)
    x = photograph[None] / 127.5 - 1
    exact = forward(load_gpen("builtin", device="cpu", dtype="fp32"), x)
    half = forward(load_gpen("builtin", device="cpu", dtype="bf16"), x)
    assert psnr(half, exact) > 45


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("forward", [by_modules, by_strips])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1, 8])
def test_no_input_and_no_size_of_weights_overflows(
    forward, dtype: torch.dtype, scale: int, count: int
) -> None:
    model = random_network()
    for parameter in model.parameters():
        parameter.data *= scale
    model.set_dtype(dtype)
    for x in (-torch.ones(count, 3, 64, 64), torch.ones(count, 3, 64, 64), random_crops(count)):
        assert torch.isfinite(forward(model, x)).all()


@pytest.mark.weights
@pytest.mark.parametrize(
    "name", ["tiny-64", "gpen-256", pytest.param("gpen-512", marks=pytest.mark.slow)]
)
def test_bfloat16_stays_close_on_golden_weights(name: str, shared: Path) -> None:
    golden = str(shared / "golden")
    sys.path.insert(0, golden)
    try:
        import golden_weights
    finally:
        sys.path.remove(golden)
    manifest = golden_weights.load_manifest(name)
    with safe_open(shared / "golden" / "outputs" / f"{name}.safetensors", "pt") as file:
        seeds = file.metadata()
    with torch.device("meta"):
        model = GPEN(read_config(manifest))
    tensors = golden_weights.state_dict(manifest, int(seeds["seed"]))
    model.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()}, assign=True)
    model.eval().requires_grad_(False).set_dtype(torch.float32)
    x = golden_weights.input_image(model.config.in_size, int(seeds["input_seed"]), 1)
    x = torch.from_numpy(x)
    exact = by_strips(model, x)
    assert psnr(by_strips(model.set_dtype(torch.bfloat16), x), exact) > 45


def test_float32_on_a_gpu_turns_tf32_off_and_float16_does_not() -> None:
    x = type("Crops", (), {"device": torch.device("cuda")})()
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
def test_precisions_set_per_operator_stay() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.conv.fp32_precision = "tf32"
    cudnn.rnn.fp32_precision = "ieee"
    x = type("Crops", (), {"device": torch.device("cuda")})()
    with exact_convolutions(x, torch.float32):
        assert cudnn.conv.fp32_precision == "tf32"
    cudnn.allow_tf32 = before
