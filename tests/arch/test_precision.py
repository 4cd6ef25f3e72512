"""What the fast forms of the network may and may not change."""

from __future__ import annotations

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gpen_core.arch import GPEN, GPENConfig, read_config
from gpen_core.arch.cpu import packed, rgb, strips, styled, winograd
from gpen_core.arch.cpu.workspace import Workspace
from gpen_core.arch.reference import ReferenceGPEN
from gpen_core.arch.weight_cache import WeightCache
from gpen_core.checkpoints.loading import load_gpen

WIDTHS = (8, 8, 8, 6, 4, 4)  # at 4 … 128 px


def small(in_size: int = 64, out_size: int = 64, noise: str = "concat") -> GPEN:
    """A GPEN with random weights, biases and noise gains."""
    widths = WIDTHS[: out_size.bit_length() - 2]
    config = GPENConfig(in_size, out_size, widths, style_dim=16, mapping_layers=2, noise=noise)
    model = GPEN(config)
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return model.eval().requires_grad_(False)


def by_modules(model: GPEN, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
    """The forward pass that training and GPUs take."""
    with torch.enable_grad():
        return model(x, noise_seed=noise_seed)


def by_strips(model: GPEN, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return model(x, noise_seed=noise_seed)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def psnr(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """In dB, for a range of 2."""
    return float(10 * torch.log10(4 / (found - wanted).square().mean()))


def faces(count: int, size: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, size, size) * 2 - 1


@pytest.mark.parametrize("noise", ["concat", "add"])
@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize("forward", [by_modules, by_strips])
def test_fast_forms_equal_the_plain_network(forward, laid_out: bool, noise: str) -> None:
    model = small(noise=noise)
    if laid_out:
        model.set_dtype(torch.float32)
    x = faces(2)
    assert relative_error(forward(model, x), ReferenceGPEN(model)(x)) < 2e-6


@pytest.mark.parametrize("sizes", [(64, 64), (16, 64), (64, 128)])
@pytest.mark.parametrize("strip_bytes", [1, 1 << 10, 1 << 13])
@pytest.mark.parametrize("chained", [1, 2, 3])
def test_strips_are_exact_however_high_they_are(
    sizes: tuple[int, int], strip_bytes: int, chained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = small(*sizes), faces(1, sizes[0])
    wanted = by_modules(model, x, noise_seed=3)
    monkeypatch.setattr(strips, "STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(strips, "CHAINED", chained)
    monkeypatch.setattr(rgb, "BYTES", strip_bytes)
    assert relative_error(by_strips(model, x, noise_seed=3), wanted) < 2e-6


@pytest.mark.parametrize("size", [(6, 8), (8, 4), (1, 12)])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 3e-2)])
def test_winograds_convolution_equals_the_direct_one(
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
    wanted = torch.nn.functional.conv2d(x, weight, bias)
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    found = winograd.make_convolution(weight, bias, width + 2, Workspace())(x)
    assert found.shape == wanted.shape and found.dtype == dtype
    assert relative_error(found.float(), wanted) < most


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_strips_are_exact_with_winograds_convolution(
    dtype: torch.dtype, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = small(), faces(1)
    wanted = by_modules(model, x)
    monkeypatch.setattr(strips, "STRIP_BYTES", 1 << 10)
    monkeypatch.setattr(winograd, "is_faster", lambda weight, size: True)
    assert relative_error(by_strips(model.set_dtype(dtype), x), wanted) < most


def test_weights_that_no_order_of_memory_is_known_for_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = small(), faces(1)
    wanted = by_modules(model, x)
    monkeypatch.setattr(packed, "_can_pack", lambda dtype: False)
    assert relative_error(by_strips(model, x), wanted) < 2e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scaled", [0, 16])
def test_styles_in_weights_equal_styles_in_inputs(
    scaled: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = small(32, 64).set_dtype(dtype), faces(1, 32)
    wanted = by_strips(model, x)
    monkeypatch.setattr(styled, "SCALED", scaled)
    found = by_strips(copy.deepcopy(model), x)
    assert psnr(found, wanted) > (110 if dtype == torch.float32 else 45)


@pytest.mark.parametrize("forward", [by_modules, by_strips])
def test_faces_in_a_batch_equal_faces_alone(forward) -> None:
    model, x = small(32, 64), faces(3, 32)
    alone = torch.cat([forward(model, face, noise_seed=5) for face in x.split(1)])
    assert relative_error(forward(model, x, noise_seed=5), alone) < 2e-6
    assert forward(model, x[:0]).shape == (0, 3, 64, 64)


def test_weights_that_change_count_at_once() -> None:
    model, other, x = small(), small(), faces(1)
    before = by_strips(model, x)
    model.load_state_dict(other.state_dict())
    assert torch.equal(by_strips(model, x), by_strips(other, x))
    for parameter in other.parameters():
        parameter.data = parameter.data.clone().mul_(1.1)  # as hosts do that move weights
    assert not torch.allclose(by_strips(other, x), by_strips(model, x), atol=1e-3)
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)  # as optimisers do
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    for parameter in other.parameters():
        parameter.data.mul_(0.9)
    other.set_dtype(torch.float32)
    assert relative_error(by_strips(other, x), by_modules(other, x)) < 2e-6
    assert relative_error(by_strips(model, x), before) > 1e-3


def test_every_weight_counts_when_it_alone_changes() -> None:
    model, x = small(), faces(1)
    layers = ("ecd1", "generator.convs.0", "generator.convs.1", "generator.to_rgbs.0")
    for name, parameter in model.named_parameters():
        if not name.startswith(layers):
            continue
        before = by_strips(model, x)
        with torch.no_grad():
            parameter.add_(0.5 * torch.randn_like(parameter))
        assert not torch.equal(by_strips(model, x), before), name
        assert relative_error(by_strips(model, x), by_modules(model, x)) < 2e-6, name


def test_what_is_prepared_from_weights_is_kept_but_not_copied() -> None:
    cache, weight, other = WeightCache(), torch.ones(3), torch.ones(3)
    first = cache.get("sum", cache, (weight,), lambda: [1])
    assert cache.get("sum", cache, (weight,), lambda: [2]) is first
    for twin in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert twin.get("sum", cache, (weight,), lambda: [3]) == [3]
    assert cache.get("sum", cache, (weight.clone(),), lambda: [4]) == [4]
    assert cache.get("both", cache, (weight, other), lambda: [7]) == [7]
    other.add_(1)
    assert cache.get("both", cache, (weight, other), lambda: [8]) == [8]
    assert cache.get("sum", cache, (weight,), lambda: [5]) == [5]
    cache.clear()
    assert cache.get("sum", cache, (weight,), lambda: [6]) == [6]
    with torch.inference_mode():
        hosted = torch.ones(3)  # as ComfyUI's weights are
    first = cache.get("sum", cache, (hosted,), lambda: [9])
    assert cache.get("sum", cache, (hosted,), lambda: [10]) is first


def test_results_are_the_callers_own() -> None:
    model, x = small(), faces(2)
    with torch.inference_mode():
        first = model(x[:1])
    kept = first.clone()
    second = by_strips(model, x[1:])
    assert torch.equal(first, kept)
    second.mul_(2).requires_grad_().sum().backward()


def test_threads_do_not_share_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen_core.arch.cpu.workspace.SMALL", 0)
    model, x = small(), faces(8)
    wanted = [by_strips(model, face) for face in x.split(1)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda face: by_strips(model, face), x.split(1)))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_buffers_are_reused_and_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen_core.arch.cpu.workspace.SMALL", 0)
    workspace = Workspace()
    large = workspace.take("x", (4, 100), torch.float32)
    small_one = workspace.take("x", (3, 50), torch.bfloat16)
    assert small_one.data_ptr() == large.data_ptr()
    assert small_one.is_contiguous() and small_one.dtype == torch.bfloat16
    for twin in (copy.deepcopy(workspace), pickle.loads(pickle.dumps(workspace))):
        assert twin.take("x", (4, 100), torch.float32).data_ptr() != large.data_ptr()


def test_gradients_reach_every_weight() -> None:
    for count in (1, 2):
        model = small().train().requires_grad_(True)
        model(faces(count)).square().mean().backward()
        missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not missing


@pytest.mark.parametrize("forward", [by_modules, by_strips])
@pytest.mark.parametrize(("dtype", "wanted"), [(torch.bfloat16, 45), (torch.float16, 60)])
def test_half_precision_stays_close_to_float32(forward, dtype: torch.dtype, wanted: float) -> None:
    model, x = small(), faces(2)
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
    model = small()
    for parameter in model.parameters():
        parameter.data *= scale
    model.set_dtype(dtype)
    for x in (-torch.ones(count, 3, 64, 64), torch.ones(count, 3, 64, 64), faces(count)):
        assert torch.isfinite(forward(model, x)).all()


@pytest.mark.weights
@pytest.mark.parametrize("name", ["tiny-64", "gpen-256", "gpen-512"])
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


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 3])
def test_a_gpu_gives_the_same_faces(count: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model, x = small(32, 64), faces(count, 32)
    wanted = by_strips(model, x)
    model.to("cuda")
    with torch.no_grad():
        assert relative_error(model(x.cuda()).cpu(), wanted) < 1e-3
        half = model.set_dtype(torch.float16)(x.cuda()).cpu()
    assert psnr(half, wanted) > 55
