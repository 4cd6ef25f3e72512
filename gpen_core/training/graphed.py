"""A step's forward and backward pass as one CUDA graph: the GPU does not wait for Python."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from ..arch.cuda.graphs import Recorder
from ..devices import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch import nn

DEVICES = ("cuda",)
WARM_UP_PASSES = 3
"""Passes that run plainly: kernels are loaded, and it is seen that memory suffices."""


class GraphedPass:
    """Computes what `compute` does, once recorded without calling it again.

    Args:
        compute: gives losses of images, and leaves the gradients of the parameters in them; always
            of the same shapes, and nothing in it follows from values that Python reads.
        parameters: in whose `.grad` they are.
        device: of all of them.
    """

    def __init__(
        self,
        compute: Callable[..., torch.Tensor],
        parameters: Iterable[nn.Parameter],
        device: torch.device,
    ) -> None:
        self._compute, self._parameters, self._device = compute, tuple(parameters), device
        self._plain_passes: float = WARM_UP_PASSES
        self._images: tuple[torch.Tensor, ...] = ()
        self._replay: Callable[[], object] | None = None

    def __call__(self, *images: torch.Tensor) -> torch.Tensor:
        """The losses; gradients are anew in the parameters, where they must stay."""
        if self._plain_passes:
            self._plain_passes -= 1
            return self._afresh(*images)
        if self._replay is None:
            self._record(images)
        if self._replay is None:
            return self._afresh(*images)
        for kept, image in zip(self._images, images, strict=True):
            kept.copy_(image)
        self._replay()
        return self._losses.clone()

    def _afresh(self, *images: torch.Tensor) -> torch.Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        return self._compute(*images)

    def _record(self, images: tuple[torch.Tensor, ...]) -> None:
        self._images = tuple(image.clone() for image in images)
        try:
            recorder = Recorder(self._device)
            self._losses, self._replay = recorder.record(lambda: self._afresh(*self._images))
        except RuntimeError as error:
            self._images = ()
            if is_out_of_memory(error):
                raise
            self._plain_passes = float("inf")
            warnings.warn(
                f"CUDA cannot record this training step ({error}); it goes on without a graph.",
                stacklevel=3,
            )
