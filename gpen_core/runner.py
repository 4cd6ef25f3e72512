"""The Runner protocol: everything that the verbs need of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .errors import CheckpointError
from .names import AUTO, COLORIZE, INPAINT, RESTORE, SEGMENT_TO_FACE, TEMPLATES

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
    without it, PyTorch's own messages decide. And it may have a property `task: str | None`, which
    tells what it was trained for (`names.TASKS`); without it, every verb takes the model.
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


DOES = {
    RESTORE: "restores faces",
    COLORIZE: "colourises grey faces",
    INPAINT: "fills holes in faces",
    SEGMENT_TO_FACE: "paints faces from segmentation maps",
}
"""What a model of each task does, for messages."""

PUBLISHED = {
    RESTORE: "GPEN-BFR-512",
    COLORIZE: "GPEN-Colorization-1024",
    INPAINT: "GPEN-Inpainting-1024",
    SEGMENT_TO_FACE: "GPEN-Seg2face-512",
}
"""A published model of each task, for messages."""


def check_task(model: Runner, task: str) -> None:
    """Raise CheckpointError if the model is known to be trained for another task.

    A file tells its task by its metadata, its hash or the name under which it is published. A model
    whose task is not known passes.
    """
    trained = getattr(model, "task", None)
    if trained in (None, task):
        return
    verb, node = DOORS[trained]
    raise CheckpointError(
        f"A model that {DOES[task]} is needed here, such as {PUBLISHED[task]}. This one "
        f"{DOES[trained]}, as its file tells: use it with `gpen {verb}` or the node {node}."
    )


DOORS = {
    RESTORE: ("restore", "Restore Image"),
    COLORIZE: ("colorize", "Colorize Faces"),
    INPAINT: ("inpaint", "Inpaint Faces"),
    SEGMENT_TO_FACE: ("segment-to-face", "Faces from Segmentation"),
}
"""The command and the node of each task, for messages."""


def choose_template(template: str, config: RunnerConfig) -> str:
    """Return `template`; for "auto" that of the model, which is "gpen" unless its config says so.

    Args:
        template: "auto" or a name of `names.TEMPLATES`.
        config: the model's.
    """
    return getattr(config, "template", TEMPLATES[0]) if template == AUTO else template
