"""Large buffers that outlive a forward pass."""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import threading

import torch

SMALL = 8 << 20
"""Bytes below which the C library's heap keeps freed memory, see `keep_freed_memory`."""

LARGEST_THRESHOLD = 32 << 20
"""Bytes of glibc's DEFAULT_MMAP_THRESHOLD_MAX on 64-bit systems, mallopt(3)."""

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Options of mallopt, from glibc's malloc.h."""


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc's heap keep what is freed, up to 64 MiB, for the next time.

    It takes the largest block freed so far for what is typical, and gives back to the system what
    exceeds twice that at its end. So a block is freed that is nearly as large as it may count.
    """
    torch.empty(LARGEST_THRESHOLD - (1 << 16), dtype=torch.uint8, device="cpu")


def keep_all_freed_memory() -> None:
    """Let glibc's heap keep all that this process frees, blocks of any size, as long as it lives.

    For a process that does nothing else but to free what it asks for again, step after step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)  # never, mallopt(3)


def empty_rows(channels: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """An uninitialised [1, C, H, W] in channels_last order."""
    shape = (1, channels, height, width)
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last, device="cpu")


class Workspace(threading.local):
    """Named buffers, kept from one forward pass to the next; every thread has its own.

    A fresh block of hundreds of megabytes costs a page fault per 4 KiB, which takes longer than
    what GPEN computes into it. Copies and pickles of a workspace are empty.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Workspace, ()

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialised contiguous tensor; the next `take` of that name reuses its memory."""
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
        """An uninitialised [1, C, H, W] in channels_last order."""
        return self.take(name, (1, height, width, channels), dtype).permute(0, 3, 1, 2)

    def take_like(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """An uninitialised float32 tensor of the same shape, in the same order of memory."""
        flat = self.take(name, (tensor.numel(),), torch.float32)
        return flat.as_strided(tensor.shape, tensor.stride())
