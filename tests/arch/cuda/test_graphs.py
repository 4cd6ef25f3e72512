"""When passes are recorded, replayed and recorded again, with a double in place of a GPU."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from recorder_double import Recorder

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.arch.cuda import graphs
from gpen_core.arch.cuda.graphs import MOST_GRAPHS, GraphedGPEN
from gpen_core.restore import restore_pixels


@pytest.fixture(autouse=True)
def on_a_device_that_records(monkeypatch):
    monkeypatch.setattr(graphs, "DEVICES", ("cpu",))
    monkeypatch.setattr(graphs, "Recorder", Recorder)
    for name in ("recorded", "replayed"):
        monkeypatch.setattr(Recorder, name, 0)
    with torch.no_grad():
        yield


def counts() -> tuple[int, int]:
    return Recorder.recorded, Recorder.replayed


def random_crops(count: int, seed: int = 0, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator) * 2 - 1


def test_the_second_pass_of_a_batch_size_is_recorded_and_all_equal_the_model(tiny_gpen):
    graphed = GraphedGPEN(tiny_gpen)
    seen = []
    for seed, count in enumerate((2, 2, 2, 1, 2)):
        x = random_crops(count, seed)
        assert torch.allclose(graphed(x), tiny_gpen(x), atol=1e-5)
        seen.append(counts())
    assert seen == [(0, 0), (1, 1), (1, 2), (1, 2), (1, 3)]


def test_the_next_pass_does_not_overwrite_a_result(tiny_gpen):
    graphed = GraphedGPEN(tiny_gpen)
    graphed(random_crops(1))
    first = graphed(random_crops(1))
    before = first.clone()
    graphed(random_crops(1, seed=1))
    assert torch.equal(first, before)


def test_a_recording_made_in_inference_mode_runs_outside_it(tiny_gpen):
    graphed = GraphedGPEN(tiny_gpen)
    with torch.inference_mode():
        for _ in range(2):
            graphed(random_crops(1))
    x = random_crops(1, seed=1)
    assert torch.allclose(graphed(x), tiny_gpen(x), atol=1e-5)
    assert counts() == (1, 2)


def test_noise_above_the_input_size_follows_the_seed():
    torch.manual_seed(2)
    model = GPEN(GPENConfig(16, 64, (8, 8, 8, 6, 4), style_dim=16, mapping_layers=2)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("noise.weight"):
            parameter.data.fill_(0.3)
    graphed = GraphedGPEN(model)
    x = random_crops(2, size=16)
    for seed in (0, 0, 7, 7, 0):
        expected = model(x, noise_seed=seed)
        assert torch.allclose(graphed(x, noise_seed=seed), expected, atol=1e-5)
    assert counts() == (1, 4)
    assert not torch.allclose(model(x, noise_seed=7), model(x, noise_seed=0), atol=1e-2)


def write_in_place(model):
    model.generator.to_rgb1.bias += 1


def write_uncounted(model):
    model.generator.to_rgb1.bias.data += 1
    model.set_dtype(model.dtype)


def move(model):
    moved.extend(parameter.data for parameter in model.parameters())
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


moved = []  # the old weights, so that no address is used again


@pytest.mark.parametrize("change", [write_in_place, write_uncounted, move])
def test_changed_weights_are_recorded_again(tiny_gpen, change):
    model = copy.deepcopy(tiny_gpen)
    graphed = GraphedGPEN(model)
    x = random_crops(1)
    for _ in range(2):
        graphed(x)
    assert counts() == (1, 1)
    change(model)
    for _ in range(3):
        assert torch.allclose(graphed(x), model(x), atol=1e-5)
    assert counts() == (2, 3)


def test_another_dtype_is_recorded_again(tiny_gpen):
    model = copy.deepcopy(tiny_gpen)
    graphed = GraphedGPEN(model)
    for _ in range(2):
        graphed(random_crops(1))
    model.set_dtype(torch.bfloat16)
    for _ in range(2):
        rounded = graphed(random_crops(1))
    assert Recorder.recorded == 2
    assert torch.allclose(rounded, model(random_crops(1)), atol=0.1)


def test_only_the_latest_batch_sizes_stay_recorded(tiny_gpen):
    graphed = GraphedGPEN(tiny_gpen)
    for count in range(1, MOST_GRAPHS + 2):
        for _ in range(2):
            graphed(random_crops(count))
    assert len(graphed._graphs) == MOST_GRAPHS
    assert Recorder.recorded == MOST_GRAPHS + 1
    graphed(random_crops(MOST_GRAPHS + 1))  # still there
    assert Recorder.recorded == MOST_GRAPHS + 1
    graphed.clear()
    assert not graphed._graphs


def test_a_pass_that_cannot_be_recorded_runs_without_a_graph(tiny_gpen, monkeypatch):
    x = random_crops(1)
    with torch.enable_grad():
        graphed = GraphedGPEN(tiny_gpen)
        for _ in range(3):
            assert torch.equal(graphed(x), tiny_gpen(x))
    monkeypatch.setattr(graphs, "DEVICES", ("cuda",))
    for _ in range(3):
        assert torch.equal(graphed(x), tiny_gpen(x))
    assert graphed(x[:0]).shape == (0, 3, 32, 32)
    assert counts() == (0, 0)


def test_graphs_of_an_offloaded_model_are_freed(tiny_gpen, monkeypatch):
    graphed = GraphedGPEN(tiny_gpen)
    for _ in range(2):
        graphed(random_crops(1))
    monkeypatch.setattr(graphs, "DEVICES", ("cuda",))
    graphed(random_crops(1))
    assert not graphed._graphs


def test_a_failed_recording_warns_once_and_the_results_are_right(tiny_gpen, monkeypatch):
    monkeypatch.setattr(Recorder, "refusal", RuntimeError("not permitted when stream is capturing"))
    graphed = GraphedGPEN(tiny_gpen)
    x = random_crops(1)
    graphed(x)
    with pytest.warns(UserWarning, match="cannot record this network .* runs without graphs"):
        assert torch.equal(graphed(x), tiny_gpen(x))
    assert torch.equal(graphed(x), tiny_gpen(x))


def test_memory_that_runs_out_while_recording_halves_the_batch(tiny_gpen, monkeypatch):
    out_of_memory = torch.cuda.OutOfMemoryError("CUDA out of memory")
    pixels = random_crops(8) / 2 + 0.5
    expected = restore_pixels(tiny_gpen, pixels)
    monkeypatch.setattr(Recorder, "refusal", out_of_memory)
    graphed = GraphedGPEN(tiny_gpen)
    restored = restore_pixels(graphed, pixels[:4], batch_size=4)
    assert torch.allclose(restored, expected[:4], atol=1e-5)
    done = []
    restored = restore_pixels(
        graphed,
        pixels,
        batch_size=4,
        on_progress=lambda now, _: (done.append(now), setattr(Recorder, "refusal", None)),
    )
    assert done == [2, 4, 6, 8]
    assert torch.allclose(restored, expected, atol=1e-5)


def test_threads_take_turns(tiny_gpen):
    graphed = GraphedGPEN(tiny_gpen)
    for _ in range(2):
        graphed(random_crops(1))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = random_crops(1, seed)
        with torch.no_grad():
            expected = tiny_gpen(x)
            for _ in range(20):
                if not torch.allclose(graphed(x), expected, atol=1e-5):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counts() == (1, 61)
