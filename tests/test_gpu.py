"""On a CUDA device: the same faces as on a CPU, in bounded memory, without waiting."""

from __future__ import annotations

import copy
import gc
import json

import pytest
import torch

from gpen_core import detect, load_detector, restore_image
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.arch.cuda import launch
from gpen_core.arch.cuda.graphs import GraphedGPEN
from gpen_core.cli import main
from gpen_core.commands.bench_timing import Task, make_network
from gpen_core.restore import restore_pixels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of values in [-1, 1]."""
    return float(10 * torch.log10(4 / (one - other).square().mean()))


@pytest.fixture(scope="module")
def gpen_256() -> GPEN:
    return make_network(Task(256, "cpu", "fp32", 1, 1, None))


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(3, 3, 256, 256) * 2 - 1


@pytest.mark.parametrize("triton", [True, False])
@pytest.mark.parametrize(("dtype", "least"), [("float32", 60), ("float16", 45), ("bfloat16", 45)])
@pytest.mark.parametrize("count", [1, 3])
def test_the_gpu_gives_the_faces_of_the_cpu(
    gpen_256, faces, dtype, least, count, triton, monkeypatch
):
    if not triton:
        monkeypatch.setattr(launch, "is_available", lambda _: False)
    with torch.inference_mode():
        expected = gpen_256(faces[:count])
        model = copy.deepcopy(gpen_256).set_dtype(getattr(torch, dtype)).to(CUDA)
        found = model(faces[:count].to(CUDA))
    assert found.dtype == torch.float32
    assert psnr(found.cpu(), expected) >= least


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("scale", [1, 8])
def test_no_input_and_no_size_of_weights_overflows(gpen_256, dtype, scale):
    model = copy.deepcopy(gpen_256)
    for parameter in model.parameters():
        parameter.mul_(scale)
    noise = torch.rand(1, 3, 256, 256) * 2 - 1
    x = torch.cat([torch.full_like(noise, -1), torch.full_like(noise, 1), noise]).to(CUDA)
    with torch.inference_mode():
        assert model.set_dtype(getattr(torch, dtype)).to(CUDA)(x).isfinite().all()


def test_a_forward_pass_does_not_wait_for_the_gpu(gpen_256, faces):
    model = copy.deepcopy(gpen_256).set_dtype(torch.float16).to(CUDA)
    x = faces.to(CUDA)
    with torch.inference_mode():
        model(x)  # the first pass may wait, it sets things up
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(x)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_graphs_give_the_models_faces(gpen_256, faces, dtype):
    model = copy.deepcopy(gpen_256).set_dtype(getattr(torch, dtype)).to(CUDA)
    graphed = GraphedGPEN(model)
    with torch.inference_mode():
        for count in (3, 3, 1, 3, 1, 3, 1):
            x = faces[:count].to(CUDA)
            assert psnr(graphed(x), model(x)) >= 60
            faces = faces.flip(3)
        for parameter in model.parameters():  # as if a host had moved the model away and back
            parameter.data = parameter.data.clone()
        gc.collect()
        for _ in range(3):
            assert psnr(graphed(x), model(x)) >= 60


def test_graphs_draw_noise_with_the_seed(faces):
    torch.manual_seed(1)
    model = GPEN(GPENConfig(64, 256, (64, 64, 64, 64, 32, 32, 16))).eval().to(CUDA)
    for name, parameter in model.named_parameters():
        if name.endswith("noise.weight"):
            parameter.data.fill_(0.3)
    graphed = GraphedGPEN(model)
    x = faces[:, :, :64, :64].to(CUDA)
    with torch.inference_mode():
        for seed in (0, 0, 7, 0):
            assert psnr(graphed(x, noise_seed=seed), model(x, noise_seed=seed)) >= 60


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 8])
def test_a_pass_takes_no_more_memory_than_planned(dtype, count):
    model = make_network(Task(512, "cuda", "fp32", 1, 1, None)).set_dtype(getattr(torch, dtype))
    x = torch.rand(count, 3, 512, 512, device=CUDA)
    with torch.inference_mode():
        model(x)  # prepares the weight layouts
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        model(x)
    taken = torch.cuda.max_memory_allocated() - before
    assert taken <= model.config.forward_memory(count, model.dtype)


def test_a_photograph_on_the_gpu_is_restored_as_on_the_cpu(gpen_256, astronaut):
    pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    expected = restore_image(gpen_256, load_detector("mtcnn", device="cpu"), astronaut)
    model, detector = copy.deepcopy(gpen_256).to(CUDA), load_detector("mtcnn", device="cuda")
    image = astronaut.to(CUDA)
    assert len(detect(detector, image)) == 1
    for runner in (model, GraphedGPEN(model)):
        found = restore_image(runner, detector, image)
        assert found.image.device.type == "cuda"
        assert psnr(found.image.cpu() * 2, expected.image * 2) >= 40


def test_crops_on_the_cpu_come_back_to_the_cpu(gpen_256):
    pixels = torch.rand(2, 3, 256, 256)
    restored = restore_pixels(copy.deepcopy(gpen_256).to(CUDA), pixels)
    assert restored.device.type == "cpu"


def test_bench_times_every_contender_and_batch(capsys):
    words = ["bench", "--size", "256", "--device", "cuda", "--dtype", "fp16", "--batch", "1", "8"]
    words += ["--repeats", "3", "--reference", "--cuda-graph", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    names = ["gpen_core, float16", "gpen_core, float16, CUDA graph", "reference, float32"]
    assert [t["name"] for t in report["timings"]] == names * 2
    for timing in report["timings"]:
        assert 0 < timing["seconds"] < 10
        assert timing["peak"] > 50e6
