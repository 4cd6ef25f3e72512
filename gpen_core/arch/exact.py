"""float32 that is float32: by itself PyTorch lets a GPU round what it convolves to 10 bits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def exact_convolutions(x: torch.Tensor, dtype: torch.dtype) -> Iterator[None]:
    """Where a model that computes in float32 on CUDA does not use TF32.

    With TF32, faces are up to 0.002 of [-1, 1] from those of a CPU, without it 4e-6. Where somebody
    has set precisions operator by operator, as PyTorch has it since 2.9, they stay.
    """
    if x.device.type != "cuda" or dtype != torch.float32:
        yield
        return
    try:
        before = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # it differs between operators
        yield
        return
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
