"""Launches the Triton kernels on tensors; `kernels.py` says what they compute."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any, NamedTuple

import torch

from ..precision import largest_activation


def has_triton() -> bool:
    """Tell whether Triton is installed; PyTorch brings it on Linux."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def is_available(device: torch.device) -> bool:
    """Tell whether the kernels run on a device, by running them once.

    If Triton is installed but fails, a warning says why.
    """
    if not has_triton():
        return False
    try:
        _try_all(device)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001, a compiler's errors share no class
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        warnings.warn(
            f"Triton cannot compile for {device}. GPEN runs without it there, only slower. "
            "Triton needs a C compiler, Python's headers (Debian: `apt install gcc python3-dev`) "
            f"and a GPU that it supports. It says: {reason}",
            stacklevel=2,
        )
        return False
    return True


def _try_all(device: torch.device) -> None:
    """Run every kernel of a forward pass on an image of 2×2 pixels.

    It compiles the variants for float16 and few channels, which most passes need anyway.
    """

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, device=device, dtype=torch.float32)

    x, taps = zeros(1, 16, 2, 2).half(), zeros(4, 4)
    activation = Activation(zeros(1, 16), zeros(16), zeros(1), zeros(16), zeros(1, 32))
    with torch.cuda.device_of(x):
        noise, y = blur(x, activation.bias, taps)
        upsample(y, taps, activation, noise)
        finish_level(x, activation, noise, zeros(1, 3, 32), zeros(3), (zeros(1, 3, 1, 1), taps))


def supports(x: torch.Tensor) -> bool:
    """Tell whether the kernels can take x: on CUDA, where they run, and outside `torch.compile`."""
    return x.device.type == "cuda" and not torch.compiler.is_compiling() and is_available(x.device)


class Activation(NamedTuple):
    """Factors that activate a layer's outputs [N, C, S, S] and its noise; float32.

    Attributes:
        gain: [N, C], multiplies the outputs.
        bias: [C], added to the outputs.
        noise_gain: [1], multiplies the noise.
        noise_bias: [C], added to the noise.
        scale: [N, 2C or more], multiplies the result for the next layer; None for the last layer.
    """

    gain: torch.Tensor
    bias: torch.Tensor
    noise_gain: torch.Tensor
    noise_bias: torch.Tensor
    scale: torch.Tensor | None


class FIR(torch.autograd.Function):
    """Computes `ops.fir(x, kernel, (before, after))`; the kernel need not be symmetric."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, kernel: torch.Tensor, before: int, after: int
    ) -> torch.Tensor:
        ctx.save_for_backward(kernel)
        ctx.padding = before, after
        return _fir(x, kernel, before, after)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        before, after = ctx.padding
        grad = FIR.apply(grads[0], kernel.flip(0, 1), 3 - before, 3 - after)
        return grad, None, None, None


def _fir(x: torch.Tensor, kernel: torch.Tensor, before: int, after: int) -> torch.Tensor:
    count, channels, height, width = x.shape
    change = before + after - 3
    x = x.contiguous(memory_format=torch.channels_last)
    out = _empty((count, channels, height + change, width + change), x)
    kernel = kernel.float().contiguous()
    with torch.cuda.device_of(x):
        _kernels().fir[_grid(height + change, width + change, channels, count)](
            x, kernel, out, height, width, before, change, channels, _blocks(channels),
            *_program(channels),
        )  # fmt: skip
    return out


def blur(
    x: torch.Tensor, bias: torch.Tensor, taps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activate x [N, C, S, S] of the encoder, and apply the FIR, padded by 2.

    Returns:
        the feature [N, C, S, S] and its FIR [N, C, S + 1, S + 1].
    """
    count, channels, size, _ = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    feature = torch.empty_like(x)
    blurred = _empty((count, channels, size + 1, size + 1), x)
    _kernels().blur[_grid(size + 1, size + 1, channels, count)](
        x, bias, taps, feature, blurred, size, channels, _blocks(channels),
        largest_activation(x.dtype), *_program(channels),
    )  # fmt: skip
    return feature, blurred


def upsample(
    x: torch.Tensor, taps: torch.Tensor, activation: Activation, noise: torch.Tensor
) -> torch.Tensor:
    """Apply the FIR after a transposed convolution, activate, and append the noise.

    It maps x [N, C, S + 1, S + 1] to [N, 2C, S, S].

    Args:
        noise: [N or 1, C, S, S], channels_last.
    """
    count, channels, size = len(x), x.shape[1], x.shape[2] - 1
    gain, bias, noise_gain, noise_bias, scale = activation
    assert scale is not None
    x = x.contiguous(memory_format=torch.channels_last)
    out = _empty((count, 2 * channels, size, size), x)
    _kernels().upsample[_grid(size, size, channels, count)](
        x, taps, gain, bias, noise, noise_gain, noise_bias, scale, out,
        size, channels, _blocks(channels), gain.stride(0), _stride(noise), scale.stride(0),
        largest_activation(x.dtype), *_program(channels),
    )  # fmt: skip
    return out


def finish_level(
    x: torch.Tensor,
    activation: Activation,
    noise: torch.Tensor,
    rgb_weight: torch.Tensor,
    rgb_bias: torch.Tensor,
    below: tuple[torch.Tensor, torch.Tensor] | None,
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Activate the outputs x [N, C, S, S] of a level, append the noise, and compute RGB.

    Args:
        noise: [N or 1, C, S, S], channels_last.
        rgb_weight: [N, 3, 2C or more].
        rgb_bias: [3].
        below: RGB of the level below [N, 3, S/2, S/2], and the taps [4, 4] that upsample it.

    Returns:
        the next layer's input [N, 2C, S, S], None after the last layer; and RGB [N, 3, S, S].
    """
    count, channels, size, _ = x.shape
    gain, bias, noise_gain, noise_bias, scale = activation
    x = x.contiguous(memory_format=torch.channels_last)
    out = None if scale is None else _empty((count, 2 * channels, size, size), x)
    rgb = torch.empty(count, 3, size, size, device=x.device, dtype=torch.float32)
    skip, taps = below or (rgb, rgb)  # unused arguments need an address, too
    pixels, block, warps = (128, 16, 2) if channels <= 64 else (8, 128, 4)
    _kernels().finish_level[(-(-size * size // pixels), count)](
        x, gain, bias, noise, noise_gain, noise_bias,
        gain if scale is None else scale, x if out is None else out,
        rgb_weight, rgb_bias, skip, taps, rgb,
        size, channels, gain.stride(0), _stride(noise), 0 if scale is None else scale.stride(0),
        rgb_weight.stride(0), rgb_weight.stride(1),
        largest_activation(x.dtype), pixels, block, below is not None, scale is not None,
        num_warps=warps,
    )  # fmt: skip
    return out, rgb


def _kernels() -> Any:  # Triton's types mean nothing to pyright
    from . import kernels

    return kernels


def _program(channels: int) -> tuple[int, int]:
    """Return PIXELS and BLOCK. There are few choices because each is compiled separately."""
    return (32, 16) if channels <= 64 else (8, 128)


def _blocks(channels: int) -> int:
    return -(-channels // _program(channels)[1])


def _grid(height: int, width: int, channels: int, count: int) -> tuple[int, int, int]:
    """Return the grid of programs, each of which computes two rows of 2·PIXELS pixels."""
    pixels, _ = _program(channels)
    across = -(-width // (2 * pixels))
    return across * _blocks(channels), -(-height // 2), count


def _stride(noise: torch.Tensor) -> int:
    """Return the stride from one face's noise to the next; 0 if all faces share it."""
    return noise.stride(0) if len(noise) > 1 else 0


def _empty(shape: tuple[int, int, int, int], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )
