"""Winograd's transforms in one pass over the pixels each, fused by `torch.compile`.

`winograd.py` has the same without a compiler, in eight passes or nine; it explains the points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..errors import DeviceError
from . import winograd
from .winograd import P, Q

if TYPE_CHECKING:
    from .workspace import Workspace

Tensors = tuple[torch.Tensor, ...]

SIZES = (24, 20, 96)
"""Tiles down and across, and channels, that are compiled for.

They differ, or torch would take them for one size, and compile again where they do differ. They are
large enough for all threads to get a part.
"""


def prepare(dtype: torch.dtype) -> None:
    """Compile for pixels of `dtype`.

    Raises:
        DeviceError: that fails, mostly for want of a C++ compiler.
    """
    height, width, channels = SIZES
    with torch.inference_mode(), _explained():
        _fused(_tiles)(torch.zeros(4 * height + 2, 4 * width + 2, channels, dtype=dtype))
        _fused(_pixels)(torch.zeros(height, width, 36, channels, dtype=dtype))


def require(device: torch.device) -> None:
    """Try whether `torch.compile` works for this device.

    Raises:
        DeviceError: it does not, mostly for want of a C++ compiler.
    """
    with _explained():
        torch.compile(_double)(torch.zeros(8, device=device))


def _double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # so are torch's errors about a compiler
        raise DeviceError(
            "PyTorch could not compile. It needs a C++ compiler and Python's headers (Debian: `apt "
            "install g++ python3-dev`; Windows: Visual Studio's build tools), and for a GPU the "
            "package triton. Or leave compiling out: it changes speed alone. PyTorch says: "
            f"{_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def transform_inputs(x: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """As `winograd.transform_inputs`."""
    height, width = x.shape[2] // 4, x.shape[3] // 4
    if height == 1:  # torch would compile again for a single row
        return winograd.transform_inputs(x, workspace)
    tiles = _fused(_tiles)(x[0].permute(1, 2, 0))
    return tiles.view(1, height, width, -1).permute(0, 3, 1, 2)


def transform_products(x: torch.Tensor, out: torch.Tensor, workspace: Workspace) -> None:
    """As `winograd.transform_products`."""
    height, width = x.shape[2:]
    if height == 1:
        winograd.transform_products(x, out, workspace)
        return
    pixels = _fused(_pixels)(x[0].permute(1, 2, 0).unflatten(2, (36, -1)))
    out[0].permute(1, 2, 0).unflatten(1, (width, 4)).unflatten(0, (height, 4)).copy_(pixels)


TRANSFORMS = (transform_inputs, transform_products)


@functools.cache
def _fused(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return torch.compile(function, dynamic=True)


def _tiles(pixels: torch.Tensor) -> torch.Tensor:
    """[4h + 2, 4w + 2, I] to [h, w, 36, I]."""
    windows = pixels.unfold(0, 6, 4).unfold(1, 6, 4)
    rows = [_evaluate(row.unbind(-1)) for row in windows.unbind(-2)]
    columns = [_evaluate(column) for column in zip(*rows, strict=True)]
    return torch.stack([value for row in zip(*columns, strict=True) for value in row], dim=2)


def _evaluate(x: Tensors) -> Tensors:
    """Values of six inputs at the six points."""
    odd, even = x[3] - 2 * x[1], x[4] - 2 * x[2]
    first = (even + P * odd, even - P * odd)
    odd, even = x[3] - 0.5 * x[1], x[4] - 0.5 * x[2]
    second = (even + Q * odd, even - Q * odd)
    return (x[0] + x[4] - 2.5 * x[2], *first, *second, x[1] + x[5] - 2.5 * x[3])


def _pixels(products: torch.Tensor) -> torch.Tensor:
    """[h, w, 36, O] to [h, 4, w, 4, O]."""
    rows = products.unflatten(2, (6, 6)).unbind(2)
    columns = zip(*(row.unbind(2) for row in rows), strict=True)
    pixels = zip(*(_interpolate(column) for column in columns), strict=True)
    return torch.stack([torch.stack(_interpolate(row), dim=2) for row in pixels], dim=1)


def _interpolate(x: Tensors) -> Tensors:
    """Four outputs from six products."""
    low, high = x[1] + x[2], x[3] + x[4]
    even = (x[0] + Q * (low + 0.5 * high), P * (low + 2 * high))
    low, high = x[1] - x[2], x[3] - x[4]
    return (even[0], low + high, even[1], x[5] + 0.5 * low + 2 * high)
