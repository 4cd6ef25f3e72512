"""Launches the CPU kernels on tensors; `kernels` and `polyphase_kernels` say what they compute.

The kernels are compiled for the CPU at hand at first use, which takes one or two seconds, and then
kept in the user's cache, from which other processes take them in some milliseconds. They run
on the same OpenMP threads as torch's convolutions. Other threads would compete with those, because
OpenMP's threads spin while they wait for work.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .instructions import LANES
from .workspace import empty_rows

if TYPE_CHECKING:
    from .compiler import CompiledKernels
    from .factors import Factors

DTYPES = (torch.float32, torch.bfloat16)


def supports(dtype: torch.dtype, *channels: int) -> bool:
    """Tell whether the kernels can compute with these numbers of channels in this dtype."""
    return dtype in DTYPES and min(channels) >= LANES and is_available(dtype)


def is_available(dtype: torch.dtype) -> bool:
    """Tell whether the kernels run here.

    They need llvmlite, which facexlib brings, and GNU's OpenMP, which torch brings on Linux.
    """
    return _compile_once(dtype) is not None


@functools.cache
def _compile_once(dtype: torch.dtype) -> CompiledKernels | None:
    """Compile the kernels at the first call; None if that is not possible.

    If llvmlite is installed but fails, a warning says why.
    """
    openmp = _openmp()
    if importlib.util.find_spec("llvmlite") is None or openmp is None:
        return None
    try:
        return _compile(dtype, openmp)
    except Exception as error:  # noqa: BLE001, a compiler's errors share no class
        warnings.warn(
            "llvmlite cannot compile for this CPU. GPEN runs without it, only slower. "
            f"`pip install -U llvmlite` may help. llvmlite says: {error}",
            stacklevel=2,
        )
        return None


def _compile(dtype: torch.dtype, openmp: ctypes.CDLL) -> CompiledKernels:
    from . import kept_code, kernels, polyphase_kernels
    from .compiler import CompiledKernels
    from .simd import BFloat16s, Floats

    kernels = (
        kernels.to_winograd,
        kernels.from_winograd,
        kernels.activate,
        kernels.blur,
        kernels.upsample,
        kernels.add_rgb,
        polyphase_kernels.to_up_phases,
        polyphase_kernels.from_up_phases,
        polyphase_kernels.to_down_phases,
        polyphase_kernels.from_down_phases,
    )
    pixels = Floats if dtype == torch.float32 else BFloat16s
    return CompiledKernels(kernels, pixels, openmp, keep=kept_code.is_wanted())


def _run(dtype: torch.dtype, name: str, items: int, *arguments: torch.Tensor | int) -> None:
    """Compute items 0 … items − 1 of a kernel."""
    compiled = _compile_once(dtype)
    assert compiled is not None
    compiled.run(name, items, *arguments)


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """Return the OpenMP library whose threads torch uses; None if it is not GNU's."""
    if not sys.platform.startswith("linux"):
        return None
    package = Path(torch.__file__).parent
    folders = (package / "lib", package.with_name("torch.libs"))
    bundled = [str(path) for folder in folders for path in folder.glob("libgomp*.so*")]
    for name in (*bundled, "libgomp.so.1"):
        try:
            # RTLD_NOLOAD finds the library only if torch has loaded it.
            return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        except OSError:
            continue
    return None


def to_winograd(x: torch.Tensor, style: torch.Tensor, tiles: torch.Tensor) -> None:
    """Transform x [1, I, H + 2, 4w + 2] times style [I] into tiles [h, w, 36, I], 4h ≥ H."""
    _, count, height, width = x.shape
    down, across = tiles.shape[:2]
    _run(
        x.dtype, "to_winograd", down * across, x, _zeros(width * count, x.dtype), style,
        tiles, height, across, count, _pitch(x),
    )  # fmt: skip


def from_winograd(
    products: torch.Tensor, factors: Factors, first: int, noise: torch.Tensor, out: torch.Tensor
) -> None:
    """Transform products [1, 36·o, h, w] back, activate them, and append their noise.

    Args:
        first: index of the first of these o outputs among the layer's O.
        noise: [1, O, H, 4w].
        out: [1, 2·O, H, 4w], 4h ≥ H.
    """
    noise = _to_channels_last(noise)
    down, across = products.shape[2:]
    count = products.shape[1] // 36
    height, total = out.shape[2], noise.shape[1]
    spare = torch.empty(4 * across * 2 * total, dtype=out.dtype, device="cpu")
    _run(
        out.dtype, "from_winograd", down * across, _to_channels_last(products),
        *_list_factors(factors, first), noise[:, first:], out[:, first:], spare, height, across,
        count, total, _pitch(noise), _pitch(out),
    )  # fmt: skip


def activate(x: torch.Tensor, factors: Factors, noise: torch.Tensor, out: torch.Tensor) -> None:
    """Activate x [1, O, H, W] and its noise into out [1, 2·O, H, W]."""
    x, noise = _to_channels_last(x), _to_channels_last(noise)
    _, count, height, width = x.shape
    _run(
        x.dtype, "activate", height, x, *_list_factors(factors), noise, out, width, count,
        _pitch(x), _pitch(noise), _pitch(out),
    )  # fmt: skip


def blur(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Compute `ops.fir(x, taps, (2, 2))`, with the taps in float32."""
    x = _to_channels_last(x)
    _, count, height, width = x.shape
    out = empty_rows(count, height + 1, width + 1, x.dtype)
    _run(
        x.dtype, "blur", height + 1, x, _zeros(width * count, x.dtype), taps, out, height,
        width, count, _pitch(x),
    )  # fmt: skip
    return out


def upsample(
    taps: torch.Tensor,
    factors: Factors,
    y: torch.Tensor,
    before: torch.Tensor,
    first: int,
    noise: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Compute a `styled.Finish`, with the FIR's taps [4, 4] in float32."""
    noise = _to_channels_last(noise)
    _, count, height, width = y.shape
    _run(
        y.dtype, "upsample", out.shape[2], y, before, _zeros(width * count, y.dtype), taps,
        *_list_factors(factors), noise, out, first, height, width, count, _pitch(y), _pitch(before),
        _pitch(noise), _pitch(out),
    )  # fmt: skip


def prepare_rgb_weight(weight: torch.Tensor) -> torch.Tensor:
    """Put weights [3, I] into the layout that `add_rgb` reads: [⌈I / 16⌉, 3, 16], float32.

    If 16 does not divide I, the last vector of channels overlaps the one before it. Its weights are
    zero for the channels that both hold.
    """
    *whole, last = weight.float().split(LANES, dim=1)
    last = torch.nn.functional.pad(last, (-weight.shape[1] % LANES, 0))
    return torch.stack([*whole, last])


def add_rgb(
    weight: torch.Tensor,
    bias: torch.Tensor,
    x: torch.Tensor,
    below: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Write the RGB of x [1, I, H, W] plus bias [3] plus `below` [1, 3, H, W] into out.

    Args:
        weight: from `prepare_rgb_weight`.
        bias, below: float32, of any strides.
        out: [1, 3, H, W], float32, of any strides.
    """
    _, count, height, width = x.shape
    strides = [t.stride(k) for t in (below, out) for k in (2, 3, 1)]
    _run(x.dtype, "add_rgb", height, x, weight, bias, below, out, width, count, _pitch(x), *strides)


def _list_factors(factors: Factors, first: int = 0) -> list[torch.Tensor]:
    """Return gain, bias, noise bias and noise gain of the outputs from `first` on."""
    assert factors.noise_bias is not None
    per_output = (factors.gain, factors.bias, factors.noise_bias)
    return [*(factor[first:] for factor in per_output), factors.noise_gain]


def to_up_phases(x: torch.Tensor, style: torch.Tensor, phases: Sequence[torch.Tensor]) -> None:
    """Transform x [1, I, H, 4w] times style [I] into the phases of h × w tiles, 4h ≥ H."""
    _, count, height, width = x.shape
    down, across = phases[0].shape[:2]
    _run(
        x.dtype, "to_up_phases", down * across, x, _zeros(width * count, x.dtype), style,
        *phases, height, across, count, _pitch(x),
    )  # fmt: skip


def from_up_phases(products: Sequence[torch.Tensor], out: torch.Tensor) -> None:
    """Transform products of h × w tiles back into out [1, O, 8h + 8, 8w + 8]."""
    count, (down, across) = out.shape[1], products[0].shape[2:]
    _run(
        out.dtype, "from_up_phases", (down + 1) * (across + 1), *map(_to_channels_last, products),
        _zeros(25 * count, out.dtype), out, down, across, count, _pitch(out),
    )  # fmt: skip


def to_down_phases(x: torch.Tensor, phases: Sequence[torch.Tensor]) -> None:
    """Transform x [1, I, 8h + 1, 8w + 1] into the phases of h × w tiles."""
    down, across = phases[0].shape[:2]
    _run(x.dtype, "to_down_phases", down * across, x, *phases, across, x.shape[1], _pitch(x))


def from_down_phases(
    products: Sequence[torch.Tensor], bias: torch.Tensor, out: torch.Tensor
) -> None:
    """Transform products of h × w tiles back into out [1, O, 4h, 4w], with bias and leaky ReLU.

    Args:
        bias: [O].
    """
    down, across = products[0].shape[2:]
    _run(
        out.dtype, "from_down_phases", down * across, *map(_to_channels_last, products), bias, out,
        across, out.shape[1], _pitch(out),
    )  # fmt: skip


def _pitch(x: torch.Tensor) -> int:
    """Return the stride between the rows of x [1, C, H, W], whose pixels must be contiguous."""
    assert x.stride()[1::2] == (1, x.shape[1])
    return x.stride(2)


def _to_channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return x in channels_last layout, which torch's convolutions nearly always return."""
    return x.contiguous(memory_format=torch.channels_last)


@functools.lru_cache(maxsize=64)
def _zeros(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Return zeros that several calls share."""
    with torch.inference_mode(False):
        return torch.zeros(count, dtype=dtype, device="cpu")
