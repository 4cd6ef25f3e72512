"""Enlarging the background: bicubic, and by a network in tiles."""

from __future__ import annotations

import builtins

import pytest
import torch
import torch.nn.functional as F

from gpen_core.errors import CheckpointError, DeviceError, GPENError, MismatchError
from gpen_core.pasting.background import Upscaler, enlarge, load_upscaler

CPU = torch.device("cpu")


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """A small upscaler (SRVGGNet, 4 ×) with random weights, as Real-ESRGAN stores it."""
    compact = pytest.importorskip(
        "spandrel.architectures.Compact", reason='pip install "gpen-restore[upscale]"'
    )
    torch.manual_seed(0)
    network = compact.Compact(num_feat=8, num_conv=2, upscale=4)
    path = tmp_path_factory.mktemp("upscaler") / "realesr-大.pth"
    torch.save({"params_ema": network.state_dict()}, path)
    return path


def nearest(scale: int, capacity: int = 10**9) -> Upscaler:
    """Enlarges by repeating pixels, on a device that holds at most `capacity` of them."""

    def network(image: torch.Tensor) -> torch.Tensor:
        if image.shape[2] * image.shape[3] > capacity:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return F.interpolate(image, scale_factor=scale, mode="nearest")

    return Upscaler(network, scale, CPU, torch.float32)


def test_bicubic_keeps_size_range_and_place():
    enlarged = enlarge(picture(5, 7), 4)
    assert enlarged.shape == (1, 3, 20, 28)
    assert 0 <= enlarged.min() <= enlarged.max() <= 1
    ramp = torch.arange(16.0).expand(1, 3, 16, 16) / 16 + 1 / 32  # pixel centres at x / 16
    wanted = (torch.arange(32.0) + 0.5) / 32
    assert torch.allclose(enlarge(ramp, 2)[0, 0, 8, 8:24], wanted[8:24], atol=1e-4)


def test_scale_one_returns_the_image_itself():
    image = picture(4, 4)
    assert enlarge(image, 1, upscaler=nearest(4)) is image


@pytest.mark.parametrize("tile", [16, 21, 512])
def test_tiles_fit_together(tile):
    image, calls = picture(50, 37), []
    enlarged = enlarge(
        image, 2, upscaler=nearest(2), tile=tile, on_progress=lambda *call: calls.append(call)
    )
    assert torch.equal(enlarged, F.interpolate(image, scale_factor=2.0, mode="nearest"))
    assert calls == [(i + 1, len(calls)) for i in range(len(calls))]


def test_tiles_of_a_real_network_are_invisible(network_file):
    upscaler = load_upscaler(network_file, device="cpu")
    image = picture(90, 70)
    whole = enlarge(image, 4, upscaler=upscaler, tile=512)
    tiled = enlarge(image, 4, upscaler=upscaler, tile=32)
    assert whole.shape == (1, 3, 360, 280)
    assert torch.allclose(tiled, whole, atol=1e-5)
    assert 0 <= whole.min() <= whole.max() <= 1
    whole.mul_(0.5)  # an inference tensor would refuse


@pytest.mark.parametrize("scale", [2, 4, 3])
def test_a_network_of_another_scale_still_gives_the_scale_asked_for(scale):
    enlarged = enlarge(picture(10, 12), scale, upscaler=nearest(4))
    assert enlarged.shape == (1, 3, 10 * scale, 12 * scale)


def test_the_tile_is_halved_when_memory_runs_out():
    image = picture(400, 300)
    enlarged = enlarge(image, 2, upscaler=nearest(2, capacity=200**2))
    assert torch.equal(enlarged, F.interpolate(image, scale_factor=2.0, mode="nearest"))
    with pytest.raises(DeviceError, match="does not suffice for a tile of 64 px"):
        enlarge(image, 2, upscaler=nearest(2, capacity=10))


def test_nan_is_an_error():
    broken = Upscaler(lambda image: image * float("nan"), 1, CPU, torch.float32)
    with pytest.raises(DeviceError, match="NaN"):
        enlarge(picture(4, 4), 2, upscaler=broken)


def test_files_that_are_no_upscaler_are_named(tmp_path, network_file):
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"none of the upscalers.*`a\.weight`"):
        load_upscaler(tmp_path / "other.pth", device="cpu")
    with pytest.raises(CheckpointError, match="no file"):
        load_upscaler(tmp_path / "absent.pth", device="cpu")
    compact = pytest.importorskip("spandrel.architectures.Compact").Compact
    torch.save(compact(num_in_ch=1, num_out_ch=1, num_feat=8).state_dict(), tmp_path / "grey.pth")
    with pytest.raises(CheckpointError, match="1 → 1 channels"):
        load_upscaler(tmp_path / "grey.pth", device="cpu")


def test_fp16_is_refused_on_a_cpu(network_file):
    with pytest.raises(DeviceError, match="fp16 is refused"):
        load_upscaler(network_file, device="cpu", dtype="fp16")


def test_without_spandrel_the_error_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "spandrel":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(GPENError, match=r"pip install \"gpen-restore\[upscale\]\""):
        load_upscaler("any.pth")


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(MismatchError, match=r"found \[3, 4, 4\] and 2"):
        enlarge(torch.rand(3, 4, 4), 2)
    with pytest.raises(MismatchError, match="and 0"):
        enlarge(picture(4, 4), 0)
