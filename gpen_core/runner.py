"""The Runner protocol: everything that the verbs need of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .names import AUTO, TEMPLATES

if TYPE_CHECKING:
    import torch


class RunnerConfig(Protocol):
    """The sizes of a Runner's faces, the range of its values, and its memory.

    It may also have `template`, the name of the template that the network was trained for; see
    `choose_template`.
    """

    @property
    def in_size(self) -> int:
        """The side of the square faces that it takes, in pixels."""
        ...

    @property
    def out_size(self) -> int:
        """The side of the square faces that it gives, in pixels."""
        ...

    @property
    def value_range(self) -> tuple[float, float]:
        """The values of black and white in its input and output, (-1, 1) for most networks."""
        ...

    def forward_memory(self, faces: int, dtype: torch.dtype) -> int:
        """Estimate the bytes that a pass of `faces` faces takes, without the weights."""
        ...


class Runner(Protocol):
    """Something that restores aligned faces: a `GPEN`, a CUDA graph of one, a host's network.

    `restore` and `restore_image` take any Runner as their model. A Runner may also have a method
    `is_oom(error: Exception) -> bool`, which tells whether an exception says that memory ran out;
    without it, PyTorch's own messages decide.
    """

    @property
    def config(self) -> RunnerConfig:
        """The sizes and the value range of its faces."""
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
        """Restore faces [N, 3, in, in] on its device, in `config.value_range`.

        Returns:
            [N, 3, out, out] in the same range.
        """
        ...


def choose_template(template: str, config: RunnerConfig) -> str:
    """Return `template`; for "auto" that of the model, which is "gpen" unless its config says so.

    Args:
        template: "auto" or a name of `names.TEMPLATES`.
        config: the model's.
    """
    return getattr(config, "template", TEMPLATES[0]) if template == AUTO else template
