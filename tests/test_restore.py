"""Restoring crops: range, size, batches, memory, refusals."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from runners import FunctionRunner

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.arch.cpu import strips
from gpen_core.devices import UNKNOWN_BUDGET, is_out_of_memory
from gpen_core.errors import CheckpointError, DeviceError, ImageError, MismatchError
from gpen_core.faces import Alignment, Crops
from gpen_core.restore import faces_that_fit, restore, restore_pixels


def network(in_size: int = 16, out_size: int = 16) -> GPEN:
    torch.manual_seed(3)
    levels = out_size.bit_length() - 2
    config = GPENConfig(in_size, out_size, (8,) * levels, style_dim=16, mapping_layers=2)
    model = GPEN(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("noise.weight"):
            parameter.fill_(0.3)
    return model


def faces(count: int, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def alignment(count: int, size: int) -> Alignment:
    return Alignment(
        torch.eye(2, 3).repeat(count, 1, 1), size, torch.zeros(count, dtype=torch.int64), (1, 9, 9)
    )


class Card:
    """A forward pass on a device that holds at most `capacity` faces at a time."""

    def __init__(self, model: GPEN, capacity: int) -> None:
        self.model, self.capacity, self.batches = model, capacity, []

    def __call__(self, faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        self.batches.append(len(faces))
        if len(faces) > self.capacity:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return self.model(faces, noise_seed=noise_seed)


def test_crops_go_through_the_network_in_minus_one_to_one():
    model, pixels = network(), faces(3)
    expected = (model(pixels * 2 - 1) / 2 + 0.5).clamp(0, 1)
    assert 0.05 < ((expected == 0) | (expected == 1)).float().mean() < 0.95  # clamping shows
    assert torch.allclose(restore_pixels(model, pixels), expected, atol=1e-5)


def test_a_network_whose_config_says_0_to_1_gets_crops_unchanged():
    model, pixels = network(), faces(3)
    model.config = replace(model.config, value_range=(0.0, 1.0))
    expected = model(pixels).clamp(0, 1)
    assert torch.allclose(restore_pixels(model, pixels), expected, atol=1e-5)


def test_restored_crops_keep_their_alignment_and_take_the_output_size():
    model = network(16, 32)
    crops = Crops(faces(2, 24), alignment(2, 24))
    restored = restore(model, crops)
    assert restored.pixels.shape == (2, 3, 32, 32)
    assert restored.pixels.dtype == torch.float32
    assert restored.alignment is crops.alignment
    assert restored.alignment.crop_size == 24
    assert 0 <= restored.pixels.min() <= restored.pixels.max() <= 1


@pytest.mark.parametrize("sizes", [(16, 16), (16, 32)])
def test_a_batch_equals_its_faces_one_by_one(sizes):
    model, pixels = network(*sizes), faces(5)
    whole = restore_pixels(model, pixels, batch_size=5)
    for batch_size in (1, 2):
        parts = restore_pixels(model, pixels, batch_size=batch_size)
        assert torch.allclose(parts, whole, atol=1e-5)


def test_the_noise_seed_matters_only_above_the_input_size():
    pixels = faces(1)
    for sizes, same in (((16, 16), True), ((16, 32), False)):
        model = network(*sizes)
        first, second = (restore_pixels(model, pixels, noise_seed=seed) for seed in (0, 1))
        assert torch.equal(first, second) == same
        assert torch.equal(restore_pixels(model, pixels), first)


@pytest.mark.parametrize("sizes", [(16, 16), (16, 32)])
def test_strength_blends_with_the_given_crop(sizes):
    model, pixels = network(*sizes), faces(2, 40)
    base = F.interpolate(pixels, (sizes[1],) * 2, mode="bicubic", antialias=True).clamp(0, 1)
    restored = restore_pixels(model, pixels)
    assert torch.allclose(restore_pixels(model, pixels, strength=0), base)
    half = restore_pixels(model, pixels, strength=0.5)
    assert torch.allclose(half, (base + restored) / 2, atol=1e-5)


def test_larger_crops_are_shrunk_without_aliasing():
    """A checkerboard finer than the input must reach the network as even grey."""
    rows = torch.arange(128)
    board = ((rows[:, None] + rows) % 2).float().expand(1, 3, -1, -1)
    seen = []

    def forward(x: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        seen.append(x)
        return x

    restore_pixels(FunctionRunner(network(), forward), board)
    assert seen[0].shape == (1, 3, 16, 16)
    assert seen[0].abs().max() < 0.02  # grey is 0 in [-1, 1]


def test_zero_crops_give_zero_crops():
    model = network(16, 32)
    restored = restore(model, Crops(torch.zeros(0, 3, 16, 16), alignment(0, 16)))
    assert restored.pixels.shape == (0, 3, 32, 32)


def test_the_batch_is_halved_until_it_fits():
    card = Card(network(), capacity=2)
    pixels = faces(7)
    progress: list[tuple[int, int]] = []
    restored = restore_pixels(
        FunctionRunner(card.model, card),
        pixels,
        batch_size=7,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert card.batches == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert progress == [(done, 7) for done in range(1, 8)]
    assert torch.allclose(restored, restore_pixels(card.model, pixels), atol=1e-5)


def test_a_failed_pass_keeps_no_memory_while_the_next_one_runs():
    model = network()
    held: list[weakref.ref[torch.Tensor]] = []

    def forward(x: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        if len(x) > 1:
            activations = x * 2
            held.append(weakref.ref(activations))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        assert held[-1]() is None
        return model(x, noise_seed=noise_seed)

    gc.disable()  # memory must be free without the garbage collector
    try:
        restore_pixels(FunctionRunner(model, forward), faces(2), batch_size=2)
    finally:
        gc.enable()
    assert len(held) == 1


def test_memory_too_small_for_one_face_says_so():
    with pytest.raises(DeviceError, match="does not suffice for one face of 16 px"):
        restore_pixels(FunctionRunner(network(), Card(network(), capacity=0)), faces(4))


def test_a_runner_may_decide_which_errors_mean_out_of_memory():
    class HostError(Exception):
        pass

    def forward(x: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        if len(x) > 1:
            raise HostError
        return x

    pixels = faces(3)
    runner = FunctionRunner(network(), forward)
    with pytest.raises(HostError):
        restore_pixels(runner, pixels, batch_size=3)
    runner.is_oom = lambda error: isinstance(error, HostError)
    assert torch.allclose(restore_pixels(runner, pixels, batch_size=3), pixels, atol=1e-6)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_distinguished_from_other_errors(error, expected):
    assert is_out_of_memory(error) == expected


def test_batches_are_sized_to_memory():
    config = GPENConfig.published(256, channel_multiplier=1, narrow=0.5)
    one = config.forward_memory(1, torch.float32)
    assert config.forward_memory(3, torch.float16) == one * 3 // 2
    unknown = torch.device("xpu")  # does not report its free memory
    assert faces_that_fit(config, torch.float32, unknown) == int(UNKNOWN_BUDGET * 0.8) // one > 1
    assert faces_that_fit(GPENConfig.published(2048), torch.float32, unknown) == 1


@pytest.mark.parametrize(("free", "expected"), [(40 << 30, 8), (9 << 30, 2), (1 << 30, 1)])
def test_a_batch_takes_no_more_than_its_share_of_the_free_memory(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 << 30))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    config = GPENConfig.published(2048)
    faces = faces_that_fit(config, torch.float32, torch.device("cuda"))
    needed = config.forward_memory(faces, torch.float32)
    assert needed <= 0.8 * free or faces == 1
    assert config.forward_memory(faces + 1, torch.float32) > 0.8 * free


def test_a_cpu_takes_one_face_at_a_time():
    progress = []
    restore_pixels(network(), faces(3), on_progress=lambda *call: progress.append(call))
    assert progress == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="needs a PyTorch built with oneDNN"
)
def test_five_faces_in_one_call_are_five_single_passes_on_a_cpu(monkeypatch):
    computed = []
    one_face = strips.restore_face

    def spied(model, x, *others):
        computed.append(len(x))
        one_face(model, x, *others)

    monkeypatch.setattr(strips, "restore_face", spied)
    with torch.no_grad():
        network()(faces(5))
    assert computed == [1] * 5


def test_on_progress_may_cancel():
    calls = []

    def cancel(done: int, total: int) -> None:
        calls.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_pixels(network(), faces(4), batch_size=2, on_progress=cancel)
    assert calls == [2]


def test_nan_is_an_error_and_says_whose():
    def forward(x: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        return x.masked_fill(x == x.max(), float("nan"))

    with pytest.raises(CheckpointError, match="weights are unusable"):
        restore_pixels(FunctionRunner(network(), forward), faces(2))
    half = network().set_dtype(torch.bfloat16)
    with pytest.raises(DeviceError, match=r"overflowed in torch\.bfloat16"):
        restore_pixels(FunctionRunner(half, forward), faces(2))
    broken = faces(2)
    broken[1, 0, 3, 3] = float("nan")
    for strength in (0, 0.5, 1):
        with pytest.raises(ImageError, match="face crop holds NaN"):
            restore_pixels(network(), broken, strength=strength)


@pytest.mark.parametrize("strength", [0, 1])
def test_infinite_values_count_as_white_and_black(strength):
    pixels = faces(1, 40)
    wild = pixels.clone()
    wild[..., 3:9, 3:9], pixels[..., 3:9, 3:9] = float("inf"), 1
    wild[..., 20:23, :], pixels[..., 20:23, :] = -float("inf"), 0
    found, expected = (restore_pixels(network(), x, strength=strength) for x in (wild, pixels))
    assert torch.equal(found, expected)


def test_arguments_that_do_not_fit_are_named():
    model = network()
    with pytest.raises(MismatchError, match=r"strength must lie in 0 … 1, found 1\.5"):
        restore_pixels(model, faces(1), strength=1.5)
    for wrong in (-1, 1.5):
        with pytest.raises(MismatchError, match="batch_size"):
            restore_pixels(model, faces(1), batch_size=wrong)
    for wrong in (2**64, 1.5):
        with pytest.raises(MismatchError, match="noise_seed"):
            restore_pixels(model, faces(1), noise_seed=wrong)
    with pytest.raises(MismatchError, match=r"\[N, 3, S, S\], found \[1, 3, 16, 8\]"):
        restore_pixels(model, faces(1)[..., :8])
    with pytest.raises(MismatchError, match="uint8"):
        restore_pixels(model, faces(1).byte())


def test_inputs_stay_as_they_were_and_results_may_be_changed():
    model, pixels = network(), faces(2)
    before = pixels.clone()
    restored = restore_pixels(model, pixels)
    restored.mul_(0.5)  # an inference tensor would raise
    assert not restored.is_inference()
    assert torch.equal(pixels, before)


def test_bf16_stays_near_fp32():
    model, pixels = network(), faces(2)
    exact = restore_pixels(model, pixels)
    rounded = restore_pixels(model.set_dtype(torch.bfloat16), pixels)
    assert 0 < (exact - rounded).abs().mean() < 0.02
