"""The Runner protocol: everything that the verbs need of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from .arch.config import GPENConfig


class Runner(Protocol):
    """Something that restores aligned faces: a `GPEN`, a CUDA graph of one, a host's network.

    `restore` and `restore_image` take any Runner as their model. A Runner may also have a method
    `is_oom(error: Exception) -> bool`, which tells whether an exception says that memory ran out;
    without it, PyTorch's own messages decide.
    """

    @property
    def config(self) -> GPENConfig:
        """The sizes and widths of the network."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that it computes on. Faces are cut and pasted there, too."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that its convolutions compute in."""
        ...

    @property
    def sharpen(self) -> float:
        """The amount of sharpening that its results ask for; see `sharpen.sharpen_restored`."""
        ...

    def __call__(self, faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        """Restore faces [N, 3, in, in] in [-1, 1] on its device; gives [N, 3, out, out]."""
        ...
