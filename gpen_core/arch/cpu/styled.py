"""Makes the generator's layers for one face: convolution, noise and activation.

The compiled kernels compute the layers that they support, torch's operations the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F

from .. import ops
from . import launch, packed, polyphase, winograd
from .folding import fold_latent

if TYPE_CHECKING:
    from ..layers import StyledConv
    from ..weight_cache import EngineMemory
    from .factors import Factors
    from .workspace import Workspace

SCALED = 64
"""Side in pixels up to which the style multiplies a layer's inputs instead of its weights.

Up to that size a layer has more weights than inputs. The weights are then the same for all faces
and are packed once, which takes 300 MB more memory for GPEN-512.
"""


class SameSize(NamedTuple):
    """A layer that keeps the size.

    Attributes:
        run: computes x [1, I, H + 2, W + 2] and noise [1, O, H, W] into
            out [1, channels_out, H, W].
        channels_out: channels of the result, the appended noise included.
    """

    run: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
    channels_out: int


class Upsampling(NamedTuple):
    """A layer that doubles the size.

    Attributes:
        transpose: applies the transposed convolution, [1, I, H, W] to [1, O, 2H + 1, 2W + 1].
        finish: applies FIR, noise and activation, see `Finish`.
        channels_out: channels of the result, the appended noise included.
    """

    transpose: packed.Convolution
    finish: Finish
    channels_out: int


Finish = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor, torch.Tensor], None]
"""Takes y [1, O, H, 2W + 1], the three rows before it, a first row, the noise and out.

It writes the rows of the FIR from the first one on, activated, with their noise, into
out [1, channels_out, …, 2W]. Here row r of the FIR reads rows r − 3 … r of y; zeros follow y.
"""


def fold_same_size(
    layer: StyledConv, latent: torch.Tensor, size: int, memory: EngineMemory
) -> SameSize:
    """Fold the latent [1, D] into a layer for `size` pixels a side."""
    factors = fold_latent(layer, latent, memory)
    return SameSize(_make_layer(layer, factors, size, memory), factors.channels_out)


def _make_layer(
    layer: StyledConv, factors: Factors, size: int, memory: EngineMemory
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Make `SameSize.run`."""
    stored = layer.conv.weight[0]
    if not _kernels_support(factors, stored):
        convolve = _make_convolution(layer, factors, size, memory)
        activate = _make_activation(factors, size, stored.dtype)
        return lambda x, noise, out: activate(convolve(x), noise, out)
    if winograd.is_faster(stored, size):
        products = memory.cache.get(
            "products", layer, (layer.conv.weight,),
            lambda: winograd.prepare(stored, None, size // 4, memory.workspace),
        )  # fmt: skip
        return winograd.make_styled_layer(products, factors, memory.workspace)
    convolve = _make_modulated(
        layer,
        factors.style,
        size,
        memory,
        lambda weight: packed.make_convolution(weight, None, size + 2),
    )
    return lambda x, noise, out: launch.activate(convolve(x), factors, noise, out)


def fold_upsampling(
    layer: StyledConv, latent: torch.Tensor, size: int, rows: int, memory: EngineMemory
) -> Upsampling:
    """Fold the latent [1, D] into a layer that upsamples.

    Args:
        size: side of the inputs in pixels.
        rows: rows of the inputs that are computed at a time.
    """
    stored = layer.conv.weight[0]
    factors = fold_latent(layer, latent, memory)
    transpose = _make_transposed_convolution(layer, factors.style, size, rows, memory)
    if _kernels_support(factors, stored):
        taps = layer.fir_kernel.float().contiguous()
        finish = functools.partial(launch.upsample, taps, factors)
    else:
        finish = _make_finish(layer.fir_kernel, factors, size, stored.dtype)
    return Upsampling(transpose, finish, factors.channels_out)


def _kernels_support(factors: Factors, stored: torch.Tensor) -> bool:
    """Tell whether the kernels can compute a layer with this weight [O, I, 3, 3]."""
    return factors.noise_bias is not None and launch.supports(stored.dtype, *stored.shape[:2])


def _make_finish(taps: torch.Tensor, factors: Factors, size: int, dtype: torch.dtype) -> Finish:
    """Make `Upsampling.finish` of torch's operations, for inputs of `size` pixels a side."""
    weight = (taps * factors.gain[:, None, None, None]).to(dtype)
    blur = packed.make_convolution(
        weight, factors.bias.to(dtype), 2 * size + 1, padding=(0, 1), groups=len(weight)
    )
    activate = _make_activation(factors, 2 * size, dtype)

    def finish(
        y: torch.Tensor, before: torch.Tensor, first: int, noise: torch.Tensor, out: torch.Tensor
    ) -> None:
        rows = torch.cat([before, y], dim=2)[:, :, first:]
        missing = out.shape[2] + 3 - rows.shape[2]
        rows = F.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows[:, :, : out.shape[2] + 3]
        activate(blur(rows), noise, out)

    return finish


def _make_transposed_convolution(
    layer: StyledConv, style: torch.Tensor, size: int, rows: int, memory: EngineMemory
) -> packed.Convolution:
    stored = layer.conv.weight[0]
    if not polyphase.is_faster(stored, size):
        return _make_modulated(
            layer,
            style,
            size,
            memory,
            lambda weight: packed.make_transposed_convolution(weight.transpose(0, 1), size),
        )
    phases = memory.cache.get(
        "phases",
        layer,
        (layer.conv.weight,),
        lambda: polyphase.prepare(stored, rows // 4, size // 4),
    )
    return polyphase.make_transposed_convolution(phases, style, len(stored), memory.workspace)


def _make_modulated(
    layer: StyledConv,
    style: torch.Tensor,
    size: int,
    memory: EngineMemory,
    pack: Callable[[torch.Tensor], packed.Convolution],
) -> packed.Convolution:
    """Make a convolution whose inputs the style multiplies.

    The style is folded into the weights, or multiplies the inputs if those are fewer; see `SCALED`.

    Args:
        size: side of the inputs in pixels.
        pack: makes the convolution of a weight [O, I, 3, 3].
    """
    stored = layer.conv.weight[0]
    if size > SCALED:
        weight = _multiply(stored, style[:, None, None], memory.workspace)
        return pack(weight.to(stored.dtype))
    convolve = memory.cache.get("convolution", layer, (layer.conv.weight,), lambda: pack(stored))
    factors = style[:, None, None].to(stored.dtype)
    return lambda x: convolve(_scale(x, factors, memory.workspace))


def _make_convolution(
    layer: StyledConv, factors: Factors, size: int, memory: EngineMemory
) -> packed.Convolution:
    """Make the convolution of torch's operations, gain and bias included."""
    stored = layer.conv.weight[0]

    def pack(weight: torch.Tensor, bias: torch.Tensor | None = None) -> packed.Convolution:
        if winograd.is_faster(weight, size):
            return winograd.make_convolution(weight, bias, size + 2, memory.workspace)
        return packed.make_convolution(weight, bias, size + 2)

    if size > SCALED:
        weight = _multiply(stored, factors.style[:, None, None], memory.workspace)
        weight *= factors.gain[:, None, None, None]
        return pack(weight.to(stored.dtype), factors.bias.to(stored.dtype))
    convolve = _make_modulated(layer, factors.style, size, memory, pack)
    gain, bias = (x[:, None, None].to(stored.dtype) for x in (factors.gain, factors.bias))

    def convolve_scaled(x: torch.Tensor) -> torch.Tensor:
        y = convolve(x)
        return torch.addcmul(bias, y, gain, out=y)

    return convolve_scaled


def _make_activation(
    factors: Factors, width: int, dtype: torch.dtype
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Make a function that appends or adds the noise and activates x into out; it overwrites x."""
    gain = factors.noise_gain.item()
    if factors.noise_bias is None:
        return lambda x, noise, out: _leaky_relu(x.add_(noise, alpha=gain), out)
    # Repeated along a row: torch vectorises half precision only along a long inner dimension.
    bias = factors.noise_bias.to(dtype).repeat(1, 1, width, 1).permute(0, 3, 1, 2)

    def activate(x: torch.Tensor, noise: torch.Tensor, out: torch.Tensor) -> None:
        out_values, out_noise = out.chunk(2, dim=1)
        _leaky_relu(x, out_values)
        _leaky_relu(torch.add(bias, noise, alpha=gain), out_noise)

    return activate


def _leaky_relu(x: torch.Tensor, out: torch.Tensor) -> None:
    """Apply leaky ReLU to x, overwriting it, and write the result into out.

    `out` may be a part of the channels of a larger tensor.
    """
    if x.dtype == torch.float32:
        torch.ops.aten.leaky_relu.out(x, ops.SLOPE, out=out)
    else:  # torch vectorises a copy into part of the channels, but not half-precision arithmetic
        out.copy_(F.leaky_relu_(x, ops.SLOPE))


def _multiply(weight: torch.Tensor, factors: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """Multiply in float32. The next call overwrites the result."""
    return workspace.take_like("weight", weight).copy_(weight).mul_(factors)


def _scale(x: torch.Tensor, factors: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    _, channels, height, width = x.shape
    out = workspace.take_rows("scaled", channels, height, width, x.dtype)
    return torch.mul(x, factors, out=out)
