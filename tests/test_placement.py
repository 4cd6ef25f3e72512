"""Images on the CPU, computation on another device: copies in both directions, memory, waits."""

from __future__ import annotations

import copy
import importlib
from dataclasses import replace

import pytest
import torch
from pretend_device import DEVICE, PretendDevice
from runners import FunctionRunner

from gpen_core import pipeline, warp
from gpen_core.align import align
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.degradation.degrade import degrade
from gpen_core.degradation.presets import PRESETS
from gpen_core.detectors import detect
from gpen_core.detectors.mtcnn import MTCNN
from gpen_core.faces import Crops, Faces
from gpen_core.pasting.paste import paste
from gpen_core.restore import restore_pixels
from gpen_core.training.data import draw_batch

FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])
HEIGHT, WIDTH = 60, 90


def draw_images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def make_faces(images: int, scale: float = 1.0) -> Faces:
    """Make two faces in each image that overlap and reach beyond it."""
    landmarks = torch.stack([FACE, FACE + torch.tensor([20.0, 2.0])]).repeat(images, 1, 1) * scale
    return Faces(
        boxes=torch.cat([landmarks.amin(1) - 4, landmarks.amax(1) + 4], dim=1),
        landmarks=landmarks,
        scores=torch.ones(2 * images),
        image_index=torch.arange(images).repeat_interleave(2),
        image_size=(images, HEIGHT, WIDTH),
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.2])
def test_crops_cut_on_a_device_equal_those_of_the_cpu(scale):
    pixels, found = draw_images(3), make_faces(3, scale)
    expected = align(pixels, found, size=32).pixels
    with PretendDevice() as device:
        crops = align(pixels, found, size=32, device=DEVICE).pixels
    assert device.operations > 10
    assert crops.device.type == "cpu"
    assert torch.allclose(crops, expected, atol=1e-6)


@pytest.mark.parametrize("detail", ["auto", 0.0, 1.0])
@pytest.mark.parametrize("larger", [False, True])
def test_faces_pasted_on_a_device_equal_those_of_the_cpu(detail, larger):
    pixels = draw_images(3)
    crops = align(pixels, make_faces(3), size=24)
    crops = replace(crops, pixels=1 - crops.pixels)
    options = {"detail": detail, "limit": torch.rand(1, 1, HEIGHT, WIDTH)}
    if larger:
        options["background"] = pixels.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = paste(pixels, crops, **options)
    with PretendDevice() as device:
        pasted = paste(pixels, crops, device=DEVICE, **options)
    assert device.operations > 10
    assert pasted.image.device.type == pasted.mask.device.type == "cpu"
    assert torch.allclose(pasted.image, expected.image, atol=1e-5)
    assert torch.allclose(pasted.mask, expected.mask, atol=1e-6)
    base = options.get("background", pixels)
    untouched = (pasted.mask == 0).expand_as(base)
    assert torch.equal(pasted.image[untouched], base[untouched])


@pytest.mark.slow
def test_a_long_clip_is_never_on_the_device_as_a_whole(monkeypatch):
    monkeypatch.setattr(warp, "PIXELS_PER_WARP", 4 * 32**2)  # crops that are cut together
    peaks = {}
    for count in (4, 40):
        pixels, found = draw_images(count), make_faces(count)
        with PretendDevice() as cutting:
            crops = align(pixels, found, size=32, device=DEVICE)
        with PretendDevice() as pasting:
            paste(pixels, crops, device=DEVICE)
        peaks[count] = (cutting.peak, pasting.peak)
    assert peaks[40] == peaks[4] > (0, 0)


def test_restore_image_cuts_restores_and_pastes_on_the_device(tiny_gpen, monkeypatch):
    pixels = draw_images(2)
    monkeypatch.setattr(pipeline, "detect", lambda *_, **__: make_faces(2))
    seen = []

    def forward(crops, *, noise_seed):
        seen.append(crops.device)
        return -crops

    runner = FunctionRunner(tiny_gpen, forward)
    expected = pipeline.restore_image(runner, None, pixels, detail=0.0)
    cut, paste_all = pipeline.cut, pipeline.paste_parts
    devices = []

    def spy(verb):
        def run(*args, device=None, **kwargs):
            devices.append(device)
            return verb(*args, device=device, **kwargs)

        return run

    monkeypatch.setattr(pipeline, "cut", spy(cut))
    monkeypatch.setattr(pipeline, "paste_parts", spy(paste_all))
    runner.device = DEVICE
    with PretendDevice():
        result = pipeline.restore_image(runner, None, pixels, detail=0.0)
    assert set(seen[:-1]) == {torch.device("cpu")}
    assert seen[-1] == DEVICE
    assert devices == [DEVICE, DEVICE]
    assert torch.allclose(result.image, expected.image, atol=1e-5)
    assert result.image.device.type == "cpu"


def test_the_pretend_device_refuses_to_mix_devices():
    with (
        PretendDevice(),
        pytest.raises(RuntimeError, match="not all tensors are on the same device"),
    ):
        torch.ones(2).to(DEVICE) + torch.ones(2)


def test_crops_may_already_be_on_the_device():
    pixels = draw_images(1)
    crops = align(pixels, make_faces(1), size=24)
    expected = paste(pixels, crops)
    with PretendDevice():
        moved = Crops(crops.pixels.to(DEVICE), crops.alignment)
        pasted = paste(pixels, moved, device=DEVICE)
    assert torch.allclose(pasted.image, expected.image, atol=1e-5)


def test_the_network_never_waits_for_its_device():
    config = GPENConfig(16, 64, (8, 8, 8, 6, 4), style_dim=16, mapping_layers=2)  # draws noise
    for count in (1, 2):
        with PretendDevice() as device, torch.no_grad():
            model = GPEN(config).eval().to(DEVICE)
            x = torch.rand(count, 3, 16, 16).to(DEVICE)
            before = device.operations
            model(x)
        assert device.operations > before + 100
        assert (device.waits, device.copied_back) == (0, [])


@pytest.mark.parametrize("preset", PRESETS)
def test_degrading_never_waits_for_its_device(preset, monkeypatch):
    module = importlib.import_module("gpen_core.degradation.degrade")
    monkeypatch.setattr(module, "CHUNKS", 1)  # as on a GPU
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (24, 3, 64, 64), dtype=torch.uint8, generator=generator)
    expected = draw_batch(pixels, 24, seed=1)
    degraded = degrade(expected, seed=2, degradation=PRESETS[preset])
    with PretendDevice() as device:
        found = draw_batch(pixels, 24, seed=1, device=DEVICE)
        worse = degrade(found, seed=2, degradation=PRESETS[preset])
        assert device.operations > 100
        assert (device.waits, device.copied_back) == (0, [])
        assert torch.equal(found.cpu(), expected)
        assert torch.allclose(worse.cpu(), degraded, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_holds_no_more_memory_than_planned(dtype):
    model = GPEN(GPENConfig(128, 128, (32, 32, 32, 32, 16, 8), style_dim=16, mapping_layers=2))
    held = {}
    for count in (1, 4):
        with PretendDevice() as device, torch.no_grad():
            moved = copy.deepcopy(model).eval().set_dtype(dtype).to(DEVICE)
            x = torch.rand(count, 3, 128, 128).to(DEVICE)
            before = device.peak
            moved(x)
        held[count] = device.peak - before
        # The rest is for memory inside convolutions, which this device cannot see.
        assert held[count] < 0.7 * model.config.forward_memory(count, dtype)
    assert held[4] > 3 * held[1]


@pytest.mark.parametrize("sharpen", [0, 5])
def test_restoring_waits_for_the_device_once_per_pass(tiny_gpen, sharpen):
    here = copy.deepcopy(tiny_gpen)
    here.sharpen = sharpen
    crops = torch.rand(5, 3, 48, 48)
    expected = restore_pixels(here, crops, strength=0.5)
    with PretendDevice() as device:
        there = copy.deepcopy(here).to(DEVICE)
        found = restore_pixels(there, crops.to(DEVICE), batch_size=2, strength=0.5)
        assert (device.waits, device.copied_back) == (3, [])
        assert torch.allclose(found.cpu(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("detail", "size", "waits"), [(0.0, 16, 1), (1.0, 16, 1), ("auto", 16, 1), ("auto", 48, 3)]
)
def test_cutting_and_pasting_copy_nothing_back_from_the_image_device(detail, size, waits):
    """One wait is for the check that no crop holds NaN.

    "auto" also reads how much the network changed each face that its crop holds enlarged.
    """
    pixels, found = draw_images(1), make_faces(1)
    with PretendDevice() as device:
        here = pixels.to(DEVICE)
        pasted = paste(here, align(here, found, size=size), detail=detail)
        assert pasted.image.device == DEVICE
        assert (device.waits, device.copied_back) == (waits, [])


def test_detection_copies_back_faces_but_no_image(astronaut, detectors):
    expected = detect(detectors("mtcnn"), astronaut)
    with PretendDevice() as device:
        detector = MTCNN(DEVICE)
        found = detect(detector, astronaut.to(DEVICE))
    assert torch.allclose(found.boxes, expected.boxes, atol=0.01)
    assert sum(device.copied_back) < 1000 < astronaut.nbytes
