"""Large buffers that are reused by later forward passes."""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import threading

import torch

SMALL = 8 << 20
"""Bytes below which the C library's heap reuses freed memory; see `keep_freed_memory`."""

LARGEST_THRESHOLD = 32 << 20
"""glibc's DEFAULT_MMAP_THRESHOLD_MAX in bytes on 64-bit systems, mallopt(3)."""

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Options of mallopt: M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h."""


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc's heap keep up to 64 MiB of freed memory instead of returning it to the system.

    glibc adapts to the largest block freed so far: blocks up to that size come from the heap, and
    the heap returns free memory at its end beyond twice that size. This frees a block just below
    the largest size that glibc adapts to.
    """
    torch.empty(LARGEST_THRESHOLD - (1 << 16), dtype=torch.uint8, device="cpu")


def keep_all_freed_memory() -> None:
    """Let glibc's heap keep all freed memory, blocks of any size, until the process ends.

    This suits a process that allocates the same blocks in every step, as training does.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl lacks it
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)  # -1 turns trimming off


def empty_rows(channels: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Return an uninitialised tensor [1, C, H, W] in channels_last layout."""
    shape = (1, channels, height, width)
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last, device="cpu")


class Workspace(threading.local):
    """Named buffers that later forward passes reuse; every thread has separate ones.

    A new block of hundreds of megabytes costs a page fault per 4 KiB, which takes longer than
    computing its values. Copies and pickles of a workspace are empty.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Workspace, ()

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return an uninitialised contiguous tensor; the next `take` of this name overwrites it."""
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL:
            return torch.empty(shape, dtype=dtype, device="cpu")
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            # A tensor made in inference mode could not be written to outside it.
            with torch.inference_mode(False):
                buffer = self._buffers[name] = torch.empty(size, dtype=torch.uint8, device="cpu")
        return buffer[:size].view(dtype).view(shape)

    def take_rows(
        self, name: str, channels: int, height: int, width: int, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return an uninitialised tensor [1, C, H, W] in channels_last layout, as `take` does."""
        return self.take(name, (1, height, width, channels), dtype).permute(0, 3, 1, 2)

    def take_like(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return an uninitialised float32 tensor with this tensor's shape and strides."""
        flat = self.take(name, (tensor.numel(),), torch.float32)
        return flat.as_strided(tensor.shape, tensor.stride())
