"""Runs the forward and backward pass of a step as one CUDA graph, without Python in between."""

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
"""Passes without a graph at the start: they load kernels and show that memory suffices."""


class GraphedPass:
    """Calls `compute` a few times, then records it and replays the recording.

    Args:
        compute: computes losses from images, and the gradients of `parameters`. Shapes must not
            change between calls, and no value that Python reads may change the computation.
        parameters: the parameters whose `.grad` it fills.
        device: where images and parameters are.
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
        """Return the losses; replace the gradients in the parameters' `.grad`.

        A recording writes to the same `.grad` tensors every time: do not set them to None.
        """
        if self._plain_passes:
            self._plain_passes -= 1
            return self._compute_plainly(*images)
        if self._replay is None:
            self._record(images)
        if self._replay is None:
            return self._compute_plainly(*images)
        for recorded, image in zip(self._images, images, strict=True):
            recorded.copy_(image)
        self._replay()
        return self._losses.clone()

    def _compute_plainly(self, *images: torch.Tensor) -> torch.Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        return self._compute(*images)

    def _record(self, images: tuple[torch.Tensor, ...]) -> None:
        """Record the pass; if CUDA cannot, run plainly from now on."""
        self._images = tuple(image.clone() for image in images)
        try:
            recorder = Recorder(self._device)
            self._losses, self._replay = recorder.record(
                lambda: self._compute_plainly(*self._images)
            )
        except RuntimeError as error:
            self._images = ()
            if is_out_of_memory(error):
                raise
            self._plain_passes = float("inf")
            warnings.warn(
                f"CUDA cannot record this training step ({error}); it runs without a graph.",
                stacklevel=3,
            )
