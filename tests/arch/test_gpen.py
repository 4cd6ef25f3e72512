"""GPEN compared with results of the published implementation, and the contract of its forward pass.

`golden/outputs.safetensors` holds float32 results of that implementation on a CPU: the latent, mean
and population standard deviation of each colour, and samples of the output, `output_5` being
`[..., ::5, ::5]`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from compilers import needs_compiler
from golden import CASES, INPUT_SEED, ODD, WEIGHT_SEED, golden_input, golden_model
from networks import by_modules, by_strips, random_crops, random_network, relative_error
from safetensors import safe_open

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.errors import MismatchError

GOLDEN = Path(__file__).parents[1] / "golden" / "outputs.safetensors"
STORED = ("tiny-64", "tiny-64-added-noise", "tiny-sr-32-to-128", "gpen-256", "gpen-1024")
LARGE = [name for name in CASES if any(size in name for size in ("512", "1024", "2048"))]


@cache
def run_case(name: str) -> dict[str, torch.Tensor]:
    """Return the latent and output of a golden case."""
    config = CASES[name]
    # Layers above the input's size draw random noise, which the golden case switches off.
    model = golden_model(config, noiseless=(6, 7, 8, 9) if name.startswith("tiny-sr") else ())
    x = golden_input(config.in_size, batch=2 if name.startswith("tiny") else 1)
    with torch.inference_mode():
        return {"latent": model.encode(x)[0], "output": model(x)}


def samples(name: str, key: str) -> torch.Tensor:
    """Return our values for the result `key` of the published implementation."""
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


def assert_equals_published(name: str, results: dict[str, torch.Tensor]) -> None:
    errors = {key: relative_error(samples(name, key), value) for key, value in results.items()}
    assert len(errors) >= 4 and max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in STORED],
)
def test_output_and_latent_equal_the_published_implementation(name: str) -> None:
    with safe_open(GOLDEN, "pt") as file:
        keys = [key for key in file.keys() if key.startswith(f"{name}/")]  # noqa: SIM118
        assert_equals_published(name, {k.partition("/")[2]: file.get_tensor(k) for k in keys})


@pytest.mark.weights
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in CASES],
)
def test_every_shared_golden_case_equals_the_published_implementation(
    name: str, shared: Path
) -> None:
    with safe_open(shared / "golden" / "outputs" / f"{name}.safetensors", "pt") as file:
        seeds = file.metadata()
        assert (seeds["seed"], seeds["input_seed"]) == (str(WEIGHT_SEED), str(INPUT_SEED))
        assert_equals_published(name, {k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118


@pytest.mark.parametrize("kind", ODD)
def test_a_batch_equals_single_runs(kind: str) -> None:
    config = ODD[kind]
    model = golden_model(config)
    x = random_crops(3, config.in_size)
    together = model(x, noise_seed=5)
    assert together.shape == (3, 3, config.out_size, config.out_size)
    apart = torch.cat([model(crop[None], noise_seed=5) for crop in x])
    assert relative_error(together, apart) < 1e-5


@pytest.mark.parametrize("forward", [by_modules, by_strips])
def test_both_engines_restore_a_batch_as_single_crops(forward) -> None:
    model, x = random_network(32, 64), random_crops(3, 32)
    alone = torch.cat([forward(model, crop, noise_seed=5) for crop in x.split(1)])
    assert relative_error(forward(model, x, noise_seed=5), alone) < 2e-6
    assert forward(model, x[:0]).shape == (0, 3, 64, 64)


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


def test_a_model_as_large_as_its_input_ignores_the_seed_and_takes_no_crops(tiny_gpen: GPEN) -> None:
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(tiny_gpen(x, noise_seed=1), tiny_gpen(x, noise_seed=2))
    assert tiny_gpen(x[:0]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 31)])
def test_an_input_of_another_shape_is_refused(tiny_gpen: GPEN, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"takes \[N, 3, 32, 32\], found"):
        tiny_gpen(torch.zeros(shape))


def test_callers_may_change_and_differentiate_results() -> None:
    model, x = random_network(), random_crops(2)
    with torch.inference_mode():
        first = model(x[:1])
    before = first.clone()
    second = by_strips(model, x[1:])
    assert torch.equal(first, before)
    second.mul_(2).requires_grad_().sum().backward()


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


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.compile warns about its internals
def test_a_compiled_network_computes_the_same() -> None:
    model = GPEN(GPENConfig(8, 8, (4, 4), style_dim=3, mapping_layers=1))
    x = torch.randn(2, 3, 8, 8)
    assert relative_error(torch.compile(model)(x), model(x)) < 1e-5


def test_autocast_around_the_model_changes_nothing(tiny_gpen: GPEN) -> None:
    x = torch.randn(1, 3, tiny_gpen.config.in_size, tiny_gpen.config.in_size)
    with torch.inference_mode():
        wanted = tiny_gpen(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(tiny_gpen(x), wanted)
