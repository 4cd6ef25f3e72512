from __future__ import annotations

import pytest
import torch

from gpen_core.devices import resolve_device, resolve_dtype
from gpen_core.errors import DeviceError

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch):
    """Pretend that this machine has a number of CUDA devices, and perhaps MPS."""

    def pretend(cuda: int, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"), [(0, False, CPU), (0, True, MPS), (1, False, CUDA), (2, True, CUDA)]
)
def test_auto_takes_the_fastest_device_that_is_here(
    hardware, cuda: int, mps: bool, wanted: torch.device
) -> None:
    hardware(cuda, mps)
    assert resolve_device("auto") == wanted


def test_devices_are_found_by_name(hardware) -> None:
    hardware(2, True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert resolve_device(name) == torch.device(name)


def test_a_device_object_of_another_kind_is_taken_as_it_is(hardware) -> None:
    hardware(0)
    own = torch.device("meta")
    assert resolve_device(own) == own
    for device in (CUDA, MPS):
        with pytest.raises(DeviceError):
            resolve_device(device)


@pytest.mark.parametrize("name", ["meta", "hpu", "vulkan"])
def test_a_device_that_pytorch_names_but_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=f"'{name}' was asked for, .* does not find it"):
        resolve_device(name)


@pytest.mark.parametrize("here", [True, False])
def test_other_devices_are_accepted_if_available(monkeypatch, here: bool) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", lambda: here)
    if here:
        assert resolve_device("xpu") == torch.device("xpu")
    else:
        with pytest.raises(DeviceError, match="'xpu' was asked for"):
            resolve_device("xpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:one", "", "CPU!"])
def test_an_unknown_device_lists_the_choices(name: str) -> None:
    with pytest.raises(DeviceError, match='"auto", "cpu", "cuda", "cuda:1" or "mps"'):
        resolve_device(name)


@pytest.mark.parametrize(("name", "cuda"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_an_absent_cuda_device_says_how_many_there_are(hardware, name: str, cuda: int) -> None:
    hardware(cuda)
    with pytest.raises(DeviceError, match=rf"'{name}' was asked for; .* sees {cuda} CUDA devices"):
        resolve_device(name)


def test_an_absent_mps_device_says_what_it_needs(hardware) -> None:
    hardware(0, False)
    with pytest.raises(DeviceError, match="needs macOS on Apple silicon"):
        resolve_device("mps")


@pytest.mark.parametrize(
    ("device", "wanted"), [(CPU, torch.float32), (CUDA, torch.float16), (MPS, torch.float16)]
)
def test_auto_dtype_is_the_fastest_that_is_safe(device: torch.device, wanted: torch.dtype) -> None:
    assert resolve_dtype("auto", device) == wanted


def test_dtypes_are_found_by_name_or_taken_as_they_are() -> None:
    wanted = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for name, dtype in wanted.items():
        assert resolve_dtype(name, CUDA) == dtype
        assert resolve_dtype(dtype, CUDA) == dtype


@pytest.mark.parametrize("dtype", ["float", "fp8", torch.float64, torch.int8])
def test_an_unknown_dtype_lists_the_choices(dtype: str | torch.dtype) -> None:
    with pytest.raises(DeviceError, match="use auto, fp32, bf16, fp16"):
        resolve_dtype(dtype, CUDA)


@pytest.mark.parametrize("dtype", ["fp16", torch.float16])
def test_fp16_is_refused_on_a_cpu_with_a_reason(dtype: str | torch.dtype) -> None:
    with pytest.raises(DeviceError, match="100 × slower"):
        resolve_dtype(dtype, CPU)
