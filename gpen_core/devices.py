"""Devices and dtypes by name, free memory, out-of-memory errors, copies to a device."""

from __future__ import annotations

import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from . import names
from .errors import DeviceError

DTYPES: dict[str, torch.dtype] = dict(
    zip(names.DTYPES, (torch.float32, torch.bfloat16, torch.float16), strict=True)
)
"""Every number format that a network computes in, by its name."""


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device of that name. "auto" takes CUDA if it is there, then MPS, then the CPU.

    A `torch.device` of another kind, such as a host's own, is returned unchanged.

    Raises:
        DeviceError: the name is unknown, or this machine lacks the device.
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
    if isinstance(device, str) and not _is_available(found):
        raise DeviceError(
            f"Device {device!r} was asked for, but this PyTorch ({torch.__version__}) does not "
            'find it. Use device="cpu", or install a PyTorch built for it.'
        )
    return found


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is off, even if the calling program switched it on."""
    if device.type in ("cpu", "cuda"):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _is_available(device: torch.device) -> bool:
    if device.type in ("cpu", "cuda", "mps"):  # checked above
        return True
    module = getattr(torch, device.type, None)  # torch.xpu …
    return module is not None and module.is_available()


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of that name for a network on `device`.

    "auto" takes the fastest dtype that is safe: fp16 on CUDA and MPS, fp32 on a CPU.

    Raises:
        DeviceError: the name is unknown, or it is fp16 on a CPU, which is absurdly slow.
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


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy `values` to `device`, without waiting for a GPU.

    A GPU copies from pinned memory when its stream gets there. From other memory, the CPU would
    have to wait until then.
    """
    if device.type == "cuda" and values.is_cpu:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def to_float64_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy `values` to `device`, except to MPS: it has no float64, so they stay on the CPU."""
    return values if device.type == "mps" else to_device(values, device)


def require_compiler(device: torch.device) -> None:
    """Check that `torch.compile` works for this device.

    Raises:
        DeviceError: it does not. Usually a C++ compiler is missing.
    """
    try:
        torch.compile(_twice)(torch.zeros(8, device=device))
    except RuntimeError as error:  # the base of torch's errors about a missing compiler
        raise DeviceError(
            "PyTorch could not compile. It needs a C++ compiler and Python's headers (Debian: `apt "
            "install g++ python3-dev`; Windows: Visual Studio's build tools), and for a GPU the "
            "package triton. Or leave compiling out: it only changes the speed. PyTorch says: "
            f"{_first_line(error)}"
        ) from error


def _twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


UNKNOWN_BUDGET = 2 << 30
"""Bytes that a forward pass may take on a device that does not report its free memory."""


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated; `UNKNOWN_BUDGET` if nobody knows."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    if device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(free, 0)
    return UNKNOWN_BUDGET


def free_system_memory() -> int:
    """Return the bytes of the machine's memory that programs can still take.

    A container may take less than its machine has. Where no figure can be had, it is half of the
    whole memory, or `UNKNOWN_BUDGET`.
    """
    if sys.platform == "win32":
        return _free_memory_of_windows()
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", _read_text("/proc/meminfo"), re.MULTILINE)
    if found is None:
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else 0
        return pages * os.sysconf("SC_PAGE_SIZE") // 2 if pages > 0 else UNKNOWN_BUDGET
    free = int(found[1]) << 10
    limit, used = (_read_text(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.strip().isdigit() and used.strip().isdigit():
        free = min(free, max(0, int(limit) - int(used)))
    return free


def _read_text(path: str) -> str:
    """Return the text of a file of the system, or "" where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _free_memory_of_windows() -> int:
    import ctypes

    status = (ctypes.c_uint64 * 8)()  # MEMORYSTATUSEX: two of 32 bits, then seven of 64 bits
    status[0] = 64  # the first field is its length
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009, absent on other systems
    done = kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status[2]) if done else UNKNOWN_BUDGET


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception of PyTorch says that a device's memory ran out."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # MPS and the CPU's allocator raise a plain RuntimeError.
    message = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message
    )
