"""Keeps float16 from overflowing, and float32 on a GPU from being rounded to TF32."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

FP16_CLAMP = 4096.0
"""Activations in float16 are clamped to ± this, so that a convolution's sums stay below 65504.

Trained weights give far smaller ones. StyleGAN2-ADA clamps at 256 for the same purpose.
"""

DEVICE = "cuda"


def largest_activation(dtype: torch.dtype) -> float:
    """Return the magnitude at which activations in `dtype` are clamped; 0 for no clamp."""
    return FP16_CLAMP if dtype == torch.float16 else 0.0


def clamp_activations(x: torch.Tensor) -> torch.Tensor:
    """Clamp activations to `largest_activation` of their dtype."""
    largest = largest_activation(x.dtype)
    return x.clamp(-largest, largest) if largest else x


@contextmanager
def exact_convolutions(x: torch.Tensor, dtype: torch.dtype) -> Iterator[None]:
    """Turn TF32 off while a float32 model runs on CUDA.

    By default PyTorch lets cuDNN round the inputs of convolutions to 10 mantissa bits. With TF32,
    faces in [-1, 1] differ from those of a CPU by up to 0.002, without it by 4e-6. If a program has
    set precisions per operator, which PyTorch offers since 2.9, they stay.

    Args:
        x: the model's input, which tells the device.
        dtype: the dtype that the model computes in.
    """
    if x.device.type != DEVICE or dtype != torch.float32 or not _SWITCH.enter():
        yield
        return
    try:
        yield
    finally:
        _SWITCH.leave()


class _TF32Switch:
    """Turns TF32 off, a setting of the whole process, until the last of its users leaves."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, False

    def enter(self) -> bool:
        """Turn TF32 off and return True; do nothing and return False if operators differ."""
        with self._lock:
            if not self._users:
                try:
                    self._before = torch.backends.cudnn.allow_tf32
                except RuntimeError:
                    return False
                torch.backends.cudnn.allow_tf32 = False
            self._users += 1
            return True

    def leave(self) -> None:
        """Restore the setting when the last user leaves."""
        with self._lock:
            self._users -= 1
            if not self._users:
                torch.backends.cudnn.allow_tf32 = self._before


_SWITCH = _TF32Switch()
