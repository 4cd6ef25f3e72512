"""float32 that is float32: by itself PyTorch lets a GPU round what it convolves to 10 bits."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


DEVICE = "cuda"


@contextmanager
def exact_convolutions(x: torch.Tensor, dtype: torch.dtype) -> Iterator[None]:
    """Where a model that computes in float32 on CUDA does not use TF32.

    With TF32, faces are up to 0.002 of [-1, 1] from those of a CPU, without it 4e-6. Where somebody
    has set precisions operator by operator, as PyTorch has it since 2.9, they stay.
    """
    if x.device.type != DEVICE or dtype != torch.float32:
        yield
        return
    if not _USE.enter():
        yield
        return
    try:
        yield
    finally:
        _USE.leave()


class _Use:
    """Counts who needs TF32 off, which holds for the whole process: the last one restores it."""

    def __init__(self) -> None:
        self._lock, self._count, self._before = threading.Lock(), 0, False

    def enter(self) -> bool:
        """Switch TF32 off, unless precisions differ between operators: then tell that they do."""
        with self._lock:
            if not self._count:
                try:
                    self._before = torch.backends.cudnn.allow_tf32
                except RuntimeError:
                    return False
                torch.backends.cudnn.allow_tf32 = False
            self._count += 1
            return True

    def leave(self) -> None:
        """Switch it back on if it was on and nobody else needs it off."""
        with self._lock:
            self._count -= 1
            if not self._count:
                torch.backends.cudnn.allow_tf32 = self._before


_USE = _Use()
