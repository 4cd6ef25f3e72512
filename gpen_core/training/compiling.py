"""Whether `torch.compile` works, found out before training begins."""

from __future__ import annotations

import torch

from ..errors import DeviceError


def require(device: torch.device) -> None:
    """Try whether `torch.compile` works for this device.

    Raises:
        DeviceError: it does not, mostly for want of a C++ compiler.
    """
    try:
        torch.compile(_double)(torch.zeros(8, device=device))
    except RuntimeError as error:  # so are torch's errors about a compiler
        raise DeviceError(
            "PyTorch could not compile. It needs a C++ compiler and Python's headers (Debian: `apt "
            "install g++ python3-dev`; Windows: Visual Studio's build tools), and for a GPU the "
            "package triton. Or leave compiling out: it changes speed alone. PyTorch says: "
            f"{_first_line(error)}"
        ) from error


def _double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
