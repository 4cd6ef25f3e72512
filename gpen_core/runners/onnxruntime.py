"""Runs an ONNX file as it is, by ONNX Runtime: for graphs that our own network cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CheckpointError, MismatchError
from .sessions import (
    MEMORY_SHARE,
    choose_providers,
    is_out_of_memory,
    open_session,
    require_package,
    run_session,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onnxruntime import InferenceSession

BYTES_PER_PIXEL = int(3750 * MEMORY_SHARE)
"""Memory of a pass per pixel of a float32 result: that of GPEN-BFR-512. Larger GPENs take less."""
DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}


@dataclass(frozen=True)
class OnnxConfig:
    """The sizes of an ONNX file's faces; see `RunnerConfig`.

    Attributes:
        in_size: side of the square input in pixels.
        out_size: side of the output in pixels.
        value_range: the values (black, white) of input and output.
    """

    in_size: int
    out_size: int
    value_range: tuple[float, float] = (-1.0, 1.0)

    def forward_memory(self, faces: int, dtype: torch.dtype) -> int:
        """Estimate the bytes that a pass of `faces` faces takes."""
        return faces * BYTES_PER_PIXEL * self.out_size**2 * dtype.itemsize // 4


class OnnxRunner:
    """A Runner whose network is an ONNX file, run by ONNX Runtime.

    It takes the execution provider that fits the device, if this ONNX Runtime has it, else the CPU.
    A graph that is fixed to a batch of N faces gets larger batches in parts of N.

    Args:
        path: the file. It must have been checked: ONNX Runtime itself sets no bounds.
        device: the device on which faces are cut and pasted, and the network computes if it can.
        sharpen: see `GPEN.sharpen`.
        providers: ONNX Runtime's execution providers; None chooses them by the device.

    Attributes:
        config: the sizes of its faces.
        device: the device.
        dtype: the dtype of its input.
        sharpen: as given.
        provider: the execution provider that runs most of the graph, such as
            "CUDAExecutionProvider".

    Raises:
        CheckpointError: ONNX Runtime is not installed or refuses the file, or the graph does not
            map one picture of a face to one picture.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        *,
        sharpen: float = 0.0,
        providers: Sequence[Any] | None = None,
    ) -> None:
        require_package("onnxruntime", f"Running `{path}` by ONNX Runtime")
        self.device, self.sharpen = device, sharpen
        self._session = open_session(path, providers or choose_providers(device))
        self.provider = self._session.get_providers()[0]
        (given,), (made,) = self._session.get_inputs(), self._session.get_outputs()
        self.dtype = DTYPES[given.type]
        self._batch = given.shape[0] if isinstance(given.shape[0], int) else None
        in_size = given.shape[2]
        height, width = _find_out_size(self._session, in_size, made.shape)
        if height != width:
            raise CheckpointError(f"`{path}`: its output is {width} × {height} px, not square.")
        self.config = OnnxConfig(in_size, height)

    def is_oom(self, error: Exception) -> bool:
        """Tell whether an error says that memory ran out."""
        return is_out_of_memory(error)

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Restore faces; `noise_seed` has no effect, because the graph takes no noise.

        Args:
            faces: [N, 3, in_size, in_size] RGB in `config.value_range`, on any device.
            noise_seed: ignored.

        Returns:
            [N, 3, out_size, out_size] float32 on `device`, not clamped.

        Raises:
            MismatchError: the faces have another shape.
        """
        size = self.config.in_size
        if faces.ndim != 4 or tuple(faces.shape[1:]) != (3, size, size):
            raise MismatchError(
                f"This ONNX file takes [N, 3, {size}, {size}], found {list(faces.shape)}."
            )
        given = faces.detach().to("cpu", self.dtype).contiguous()
        batch = self._batch or max(1, len(given))
        parts = [self._run(given[start : start + batch]) for start in range(0, len(given), batch)]
        out_size = self.config.out_size
        restored = torch.cat(parts) if parts else torch.empty(0, 3, out_size, out_size)
        return restored.to(self.device)

    def _run(self, faces: torch.Tensor) -> torch.Tensor:
        """Run one batch; the last one is filled up to the size that the graph is fixed to."""
        count = len(faces)
        missing = (self._batch or count) - count
        if missing:
            faces = torch.cat([faces, faces[-1:].expand(missing, -1, -1, -1)])
        return run_session(self._session, faces)[:count]


def _find_out_size(session: InferenceSession, in_size: int, shape: list[Any]) -> tuple[int, int]:
    """Return height and width of the output, from its shape or, if that is open, from one pass."""
    *_, height, width = shape
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    first = session.get_inputs()[0]
    batch = first.shape[0] if isinstance(first.shape[0], int) else 1
    zeros = torch.zeros(batch, 3, in_size, in_size, dtype=DTYPES[first.type])
    *_, height, width = run_session(session, zeros).shape
    return height, width
