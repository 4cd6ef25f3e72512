"""The network against what the published implementation computes.

`golden/outputs.safetensors` holds its float32 results on a CPU: the latent, mean and population
standard deviation of each colour, and samples of the output, `output_5` being `[..., ::5, ::5]`.
Weights and inputs are regenerated from seeds (legacy `RandomState` is frozen by NumPy's policy).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from compilers import needs_compiler
from safetensors import safe_open

from gpen_core.arch import GPEN, GPENConfig, ops, read_config, reference
from gpen_core.arch.cpu import instructions, launch, winograd
from gpen_core.checkpoints.loading import build_gpen
from gpen_core.errors import CheckpointError, MismatchError

GOLDEN = Path(__file__).parents[1] / "golden" / "outputs.safetensors"
WEIGHT_SEED, INPUT_SEED = 20260101, 20260102
TINY = {"style_dim": 32, "mapping_layers": 2}
CASES = {
    "tiny-64": GPENConfig(64, 64, (32,) * 5, **TINY),
    "tiny-64-added-noise": GPENConfig(64, 64, (32,) * 5, **TINY, noise="add"),
    "tiny-sr-32-to-128": GPENConfig(32, 128, (32, 32, 32, 32, 32, 16), **TINY),
    "gpen-256": GPENConfig.published(256, channel_multiplier=1, narrow=0.5),
    "gpen-512": GPENConfig.published(512),
    "gpen-1024": GPENConfig.published(1024),
    "gpen-2048": GPENConfig.published(2048),
}
STORED = ("tiny-64", "tiny-64-added-noise", "tiny-sr-32-to-128", "gpen-256", "gpen-1024")

# ../shared/golden/manifests: SHA-256 of the sorted lines `name [shape]`; tensors and float32 bytes
# from the table of published files.
PUBLISHED = {
    "gpen-256": (144, 75_517_192, "7a8bd9c02b43501a"),
    "gpen-512": (163, 284_022_236, "5da9edb9e88069c6"),
    "gpen-1024": (182, 284_843_696, "cb6d85911fb8cd94"),
    "gpen-2048": (201, 285_180_804, "c6cb9178e896be3d"),
}

ODD = {
    "odd widths": GPENConfig(16, 16, (5, 3, 7), style_dim=9, mapping_layers=1),
    "deep mapping": GPENConfig(8, 8, (4, 4), style_dim=3, mapping_layers=11),
    "added noise": GPENConfig(16, 16, (6, 6, 2), style_dim=8, mapping_layers=2, noise="add"),
    "smaller input": GPENConfig(8, 64, (8, 6, 4, 3, 2), style_dim=8, mapping_layers=3),
    "smaller input, added": GPENConfig(8, 32, (4, 4, 4, 4), 8, 3, noise="add"),
    "no mapping beyond one": GPENConfig(8, 8, (1, 1), style_dim=1, mapping_layers=1),
}


def shapes(config: GPENConfig) -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in GPEN(config).state_dict().items()}


def golden_tensor(name: str, shape: list[int]) -> torch.Tensor:
    """Published initialisation, but random biases and gains too: a term that is zero hides bugs."""
    rng = np.random.RandomState((zlib.crc32(name.encode()) + WEIGHT_SEED) % 2**32)
    normal = rng.standard_normal(shape).astype(np.float32)
    mapping = name.startswith("generator.style.")
    if mapping and name.endswith("weight"):
        normal = normal / np.float32(0.01)
    elif mapping:
        normal = normal * np.float32(10)
    elif name.endswith("modulation.bias"):
        normal = 1 + np.float32(0.1) * normal
    elif name.endswith("noise.weight"):
        normal = np.float32(0.3) + np.float32(0.1) * normal
    elif name.endswith("bias"):
        normal = np.float32(0.1) * normal
    return torch.from_numpy(np.asarray(normal, dtype=np.float32))


def golden_input(size: int, batch: int) -> torch.Tensor:
    """[batch, 3, size, size] in [-1, 1]: waves plus noise."""
    rng = np.random.RandomState(INPUT_SEED)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    images = []
    for _ in range(batch):
        waves = []
        for _ in range(3):
            a, b = rng.uniform(1, 4), rng.uniform(1, 4)
            waves.append(np.sin(2 * np.pi * (a * x + b * y + rng.uniform())))
        images.append(np.stack(waves) * 0.7 + 0.1 * rng.standard_normal((3, size, size)))
    return torch.from_numpy(np.clip(np.stack(images), -1, 1).astype(np.float32))


def golden_model(config: GPENConfig, *, noiseless: tuple[int, ...] = ()) -> GPEN:
    """A GPEN none of whose terms is zero, except the noise of `generator.convs` in `noiseless`."""
    learned = {k: shape for k, shape in shapes(config).items() if not k.endswith(".kernel")}
    weights = {name: golden_tensor(name, shape) for name, shape in learned.items()}
    for i in noiseless:
        weights[f"generator.convs.{i}.noise.weight"].zero_()
    model = build_gpen(weights)
    assert model.config == config
    return model


@cache
def run_case(name: str) -> dict[str, torch.Tensor]:
    """Latent and output of one golden case."""
    config = CASES[name]
    # Layers above the input's size draw random noise: the case is reproducible without.
    model = golden_model(config, noiseless=(6, 7, 8, 9) if name.startswith("tiny-sr") else ())
    x = golden_input(config.in_size, batch=2 if name.startswith("tiny") else 1)
    with torch.inference_mode():
        return {"latent": model.encode(x)[0], "output": model(x)}


def samples(name: str, key: str) -> torch.Tensor:
    """What the published implementation's result `key` is to be compared with."""
    output = run_case(name)["output"]
    middle = output.shape[-1] // 2
    if key == "latent":
        return run_case(name)["latent"]
    if key == "mean":
        return output.double().mean(dim=(2, 3))
    if key == "std":
        return output.double().std(dim=(2, 3), correction=0)
    if key == "output_centre_64":
        return output[..., middle - 32 : middle + 32, middle - 32 : middle + 32]
    if key == "output_corner_32":
        return output[..., :32, :32]
    stride = {"output": 1, "output_every_16th": 16}.get(key) or int(key.rpartition("_")[2])
    return output[..., ::stride, ::stride]


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def assert_equals_published(name: str, results: dict[str, torch.Tensor]) -> None:
    errors = {key: relative_error(samples(name, key), value) for key, value in results.items()}
    assert len(errors) >= 4 and max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("name", STORED)
def test_output_and_latent_equal_the_published_implementation(name: str) -> None:
    with safe_open(GOLDEN, "pt") as file:
        keys = [key for key in file.keys() if key.startswith(f"{name}/")]  # noqa: SIM118
        assert_equals_published(name, {k.partition("/")[2]: file.get_tensor(k) for k in keys})


@pytest.mark.weights
@pytest.mark.parametrize("name", CASES)
def test_every_shared_golden_case_is_met(name: str, shared: Path) -> None:
    with safe_open(shared / "golden" / "outputs" / f"{name}.safetensors", "pt") as file:
        seeds = file.metadata()
        assert (seeds["seed"], seeds["input_seed"]) == (str(WEIGHT_SEED), str(INPUT_SEED))
        assert_equals_published(name, {k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118


@pytest.mark.weights
@pytest.mark.parametrize("name", CASES)
def test_names_and_shapes_are_the_published_ones(name: str, shared: Path) -> None:
    manifest = json.loads((shared / "golden" / "manifests" / f"{name}.json").read_text())
    assert shapes(CASES[name]) == manifest
    assert read_config(manifest) == CASES[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_have_these_tensors_and_bytes(name: str) -> None:
    tensors, size, digest = PUBLISHED[name]
    found = shapes(CASES[name])
    lines = "\n".join(f"{key} {shape}" for key, shape in sorted(found.items()))
    assert len(found) == tensors
    assert sum(4 * math.prod(shape) for shape in found.values()) == size
    assert hashlib.sha256(lines.encode()).hexdigest().startswith(digest)


@pytest.mark.parametrize("kind", ODD)
def test_config_is_read_from_shapes_alone_and_a_batch_equals_single_runs(kind: str) -> None:
    config = ODD[kind]
    assert read_config(shapes(config)) == config
    model = golden_model(config)
    x = torch.rand(3, 3, config.in_size, config.in_size) * 2 - 1
    together = model(x, noise_seed=5)
    assert together.shape == (3, 3, config.out_size, config.out_size)
    apart = torch.cat([model(face[None], noise_seed=5) for face in x])
    assert relative_error(together, apart) < 1e-5


def test_noise_seed_makes_larger_outputs_reproducible() -> None:
    config = ODD["smaller input"]
    model = golden_model(config)
    x = torch.rand(1, 3, config.in_size, config.in_size)
    first = model(x, noise_seed=1)
    torch.rand(7)  # the global generator must not matter
    assert torch.equal(first, model(x, noise_seed=1))
    assert relative_error(first, model(x, noise_seed=2)) > 1e-3


def test_noise_seed_does_not_touch_the_global_generator() -> None:
    model = golden_model(ODD["smaller input"])
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    model(torch.zeros(1, 3, 8, 8), noise_seed=1)
    assert torch.equal(torch.rand(4), wanted)


def test_a_model_as_large_as_its_input_ignores_the_seed_and_takes_no_face(tiny_gpen: GPEN) -> None:
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(tiny_gpen(x, noise_seed=1), tiny_gpen(x, noise_seed=2))
    assert tiny_gpen(x[:0]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 31)])
def test_an_input_of_another_shape_is_refused(tiny_gpen: GPEN, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"takes \[N, 3, 32, 32\], found"):
        tiny_gpen(torch.zeros(shape))


def test_bf16_convolutions_stay_near_float32_and_return_it(tiny_gpen: GPEN) -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    wanted = tiny_gpen(x)
    model = GPEN(tiny_gpen.config).eval().requires_grad_(False)
    model.load_state_dict(tiny_gpen.state_dict())
    model.set_dtype(torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.device == torch.device("cpu")
    found = model(x)
    assert found.dtype == torch.float32
    assert 0 < relative_error(found, wanted) < 0.03


# A blur that is not symmetric shows a filter that is flipped or transposed by mistake.
LOPSIDED = torch.arange(16.0).reshape(4, 4).double() / 30


@needs_compiler
@pytest.mark.filterwarnings("ignore")  # of torch.compile about itself
def test_a_compiled_network_computes_the_same() -> None:
    model = GPEN(GPENConfig(8, 8, (4, 4), style_dim=3, mapping_layers=1))
    x = torch.randn(2, 3, 8, 8)
    assert relative_error(torch.compile(model)(x), model(x)) < 1e-5


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
def test_winograds_convolution_serves_where_it_pays(
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


def test_autocast_around_the_model_changes_nothing(tiny_gpen: GPEN) -> None:
    x = torch.randn(1, 3, tiny_gpen.config.in_size, tiny_gpen.config.in_size)
    with torch.inference_mode():
        wanted = tiny_gpen(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(tiny_gpen(x), wanted)


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_size": 24}, "power of two"),
        ({"in_size": 4}, "power of two"),
        ({"in_size": 64}, "exceeds"),
        ({"widths": (8, 8)}, "widths"),
        ({"widths": (8, 8, 8, 0)}, "widths"),
        ({"noise": "multiply"}, "noise"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, object], message: str) -> None:
    fields = {"in_size": 32, "out_size": 32, "widths": (8, 8, 8, 8)} | changes
    with pytest.raises(ValueError, match=message):
        GPENConfig(**fields)  # pyright: ignore[reportArgumentType]


def test_names_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"`generator.input.input` is missing \(6 of 6"):
        read_config({"conv_first.weight": [64, 3, 3, 3]})
