"""Devices and dtypes by name: "auto", "cuda:1", "bf16" …"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from .errors import DeviceError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then MPS, then the CPU.

    A `torch.device` of another kind (a host's own) is taken as it is.

    Raises:
        DeviceError: the name is unknown or the device is not here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(
            f'Unknown device {device!r}; use "auto", "cpu", "cuda", "cuda:1" or "mps".'
        ) from error
    if found.type == "cuda":
        count = torch.cuda.device_count()
        if (found.index or 0) >= count:
            raise DeviceError(
                f"Device {device!r} was asked for; this PyTorch ({torch.__version__}) sees {count} "
                'CUDA devices. Use device="cpu", or install a CUDA build of PyTorch.'
            )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError('Device "mps" needs macOS on Apple silicon; use device="cpu".')
    if isinstance(device, str) and not _is_here(found):
        raise DeviceError(
            f"Device {device!r} was asked for, but this PyTorch ({torch.__version__}) does not "
            'find it. Use device="cpu", or install a PyTorch built for it.'
        )
    return found


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Where autocast, which a program around may have switched on, changes nothing."""
    if device.type in ("cpu", "cuda"):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _is_here(device: torch.device) -> bool:
    if device.type in ("cpu", "cuda", "mps"):  # checked above
        return True
    module = getattr(torch, device.type, None)  # torch.xpu …
    return module is not None and module.is_available()


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of that name for a network on `device`.

    "auto" takes the fastest that is safe: fp16 on CUDA and MPS, fp32 on a CPU.

    Raises:
        DeviceError: the name is unknown, or the device computes it absurdly slowly.
    """
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in DTYPES.values():
        raise DeviceError(f"Unknown dtype {dtype!r}; use auto, {', '.join(DTYPES)}.")
    if device.type == "cpu" and found == torch.float16:
        raise DeviceError(
            "fp16 is refused on a CPU: its convolutions run over 100 × slower there than fp32. "
            "Use fp32, or bf16 where the CPU has AVX512-BF16."
        )
    return found
