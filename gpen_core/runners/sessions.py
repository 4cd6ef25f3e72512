"""Opens ONNX files with ONNX Runtime: the package, execution providers, threads and memory."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CheckpointError, DeviceError
from ..printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxruntime import InferenceSession

    from ..runner import RunnerConfig

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider",),
    "hip": ("MIGraphXExecutionProvider", "ROCMExecutionProvider"),
    "mps": ("CoreMLExecutionProvider",),
    "xpu": ("OpenVINOExecutionProvider",),
    "cpu": ("OpenVINOExecutionProvider",),
    "privateuseone": ("DmlExecutionProvider",),
}
"""ONNX Runtime's execution providers by the type of a device, the better one first. "hip" stands
for the devices of a PyTorch that was built for ROCm, which calls them "cuda". The CPU's own
provider follows all of them."""

MEMORY_SHARE = 2.1
"""Peak memory of a pass in ONNX Runtime, in units of `forward_memory`. It keeps whole feature maps
where our engine keeps strips: 8.2 GB at 2048 px, measured on a CPU."""

OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "failed to allocate", "out of memory")
"""Parts of messages by which ONNX Runtime says that memory ran out, in lower case."""


def is_installed() -> bool:
    """Tell whether ONNX Runtime can be imported, without importing it."""
    return importlib.util.find_spec("onnxruntime") is not None


def require_package(name: str, purpose: str) -> None:
    """Raise CheckpointError unless a package is installed.

    Args:
        name: "onnxruntime" or "onnx".
        purpose: the sentence that says who needs it, without its object.
    """
    if importlib.util.find_spec(name) is None:
        raise CheckpointError(
            f"{purpose} needs the package {name}, which is not installed. Install it with: "
            f"{sys.executable} -m pip install {name}"
        )


def choose_providers(device: torch.device) -> list[Any]:
    """Return the execution providers for a device that this ONNX Runtime has, the best first."""
    import onnxruntime

    kind = "hip" if device.type == "cuda" and torch.version.hip else device.type
    available = onnxruntime.get_available_providers()
    chosen: list[Any] = [name for name in PROVIDERS.get(kind, ()) if name in available]
    options = {"device_id": device.index or 0}
    if kind == "cuda":
        options["use_tf32"] = 0  # else convolutions round their inputs to 10 mantissa bits
    if kind in ("cuda", "hip", "privateuseone"):
        chosen = [(name, options) for name in chosen]
    return [*chosen, CPU]


def open_session(path: Path, providers: Sequence[Any] = (CPU,)) -> InferenceSession:
    """Open an ONNX file with as many threads as PyTorch has.

    Raises:
        CheckpointError: ONNX Runtime refuses the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised, too
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Threads that spin take processor time from PyTorch's between two passes, and gain none.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its classes of errors have only Exception in common
        raise CheckpointError(
            f"`{path}`: ONNX Runtime {onnxruntime.__version__} cannot open it: "
            f"{printable(str(error), 300)}"
        ) from error


def run_session(session: InferenceSession, faces: torch.Tensor) -> torch.Tensor:
    """Run a session on one batch; return its first output as float32 on the CPU.

    Args:
        faces: [N, 3, S, S] in the dtype and batch size that the session takes, on the CPU.

    Raises:
        DeviceError: ONNX Runtime failed. If memory ran out, its own error is raised.
    """
    inputs = {session.get_inputs()[0].name: faces.numpy()}
    try:
        (output,) = session.run([session.get_outputs()[0].name], inputs)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise DeviceError(f"ONNX Runtime failed: {printable(str(error), 300)}") from error
    return torch.from_numpy(output).float()


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception of ONNX Runtime says that memory ran out."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(part in message for part in OUT_OF_MEMORY)


def estimate_memory(config: RunnerConfig, faces: int, file_bytes: int) -> int:
    """Estimate the bytes that ONNX Runtime takes for a session and a pass of `faces` faces.

    It prepares a second copy of the weights, in the layout of its convolutions.
    """
    activations = config.forward_memory(faces, torch.float32)
    return int(MEMORY_SHARE * activations) + 2 * file_bytes
