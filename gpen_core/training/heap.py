"""Memory that a step of training frees and the next one asks for again."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc's heap keep all that this process frees, blocks of any size, as long as it lives.

    By itself it gives blocks over 32 MiB back to the system at once, and every page of theirs is
    then mapped and cleared anew, step after step. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)  # never, mallopt(3)
