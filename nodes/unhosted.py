"""A Runner that keeps its own weights, such as ONNX Runtime's, as a value of GPEN_MODEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import host

if TYPE_CHECKING:
    import torch

    from ..gpen_core.runners.onnxruntime import OnnxRunner


class UnhostedRunner:
    """Lets the host move its own models out of the way before a pass; the weights are not its.

    Attributes:
        config: the sizes of the faces.
        device: the device that computes.
        dtype: the dtype of the network.
        sharpen: the amount of sharpening that its results ask for.
    """

    def __init__(self, run: OnnxRunner) -> None:
        self._run = run
        self.config, self.device, self.dtype = run.config, run.device, run.dtype
        self.sharpen = run.sharpen

    def load(self, batch_size: int) -> None:
        """Free memory for a pass of `batch_size` faces."""
        host.make_room(self.config.forward_memory(batch_size, self.dtype), self.device)

    def is_oom(self, error: Exception) -> bool:
        """Tell whether an error says that memory ran out."""
        return self._run.is_oom(error) or host.is_oom(error)

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Run the network on faces [N, 3, in, in] in `config.value_range`, on any device."""
        return self._run(faces, noise_seed=noise_seed)
