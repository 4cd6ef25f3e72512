"""3×3 convolutions of stride 2, transposed or not, with 81 multiplications instead of 144.

A transposed one gives, along an axis, odd outputs that are products with the middle tap, and even
ones that are a polynomial product of the inputs with the other two taps: of four inputs and two
taps, five outputs from five multiplications (Toom and Cook; Winograd's minimal filtering, Lavin and
Gray 2016, arXiv 1509.09308), of which the last adds to the first of the next tile. Along two axes
this makes four phases: what is evaluated along both, along the rows alone, along the columns alone,
and not at all. A convolution of stride 2 is the transpose of all this.

Polynomials are evaluated at ±A, ±B and infinity. Only the kernels for CPUs compute it: in torch's
operations the transforms would take what they save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from . import launch, packed
from .points import A, B
from .workspace import empty_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from .workspace import Workspace

SIZES = (25, 20, 20, 16)
"""What the phases of a tile multiply, per channel."""

GROUPS = (25, 5, 5, 1)
"""How many weights they are multiplied by, per pair of channels."""


LEAST_CHANNELS = 128
"""Input channels from which it pays; benchmarks/NOTES.md."""

LEAST_SIZE = 32
"""Side of the smaller image in pixels from which it pays."""


def is_faster(weight: torch.Tensor, size: int) -> bool:
    """Whether the products saved outweigh the transforms, `size` being the smaller image's side.

    In bfloat16 rounding what is multiplied costs up to 2 of some 47 dB and saves 6 %.
    """
    outputs, inputs = weight.shape[:2]
    return (
        weight.dtype == torch.float32
        and size >= LEAST_SIZE
        and inputs >= LEAST_CHANNELS
        and launch.supports(weight.dtype, inputs, outputs)
    )


class Phases(NamedTuple):
    """The products of the phases, as convolutions in groups of [1, groups · I, …]."""

    both: packed.Convolution
    rows: packed.Convolution
    columns: packed.Convolution
    none: packed.Convolution


def prepare(weight: torch.Tensor, down: int, across: int) -> Phases:
    """What multiplies weights [O, I, 3, 3] with down × across tiles at a time."""
    scale = 1 / (2 * (B**2 - A**2))  # of what gives the coefficients, see polyphase_kernels.py
    points = [[scale, scale * point] for point in (A, -A, B, -B)]
    evaluate = torch.tensor([*points, [0, 1]], dtype=torch.float64, device=weight.device)
    taps = weight.float().permute(2, 3, 0, 1).flatten(2)  # [3, 3, O · I]
    phases = (
        torch.kron(evaluate, evaluate).float() @ taps[::2, ::2].flatten(0, 1),
        evaluate.float() @ taps[::2, 1],
        evaluate.float() @ taps[1, ::2],
        taps[1, 1],
    )
    inputs = weight.shape[1]
    return Phases(
        *(
            packed.make_convolution(
                phase.reshape(-1, inputs, 1, 1).to(weight.dtype),
                None,
                across * size // groups,
                groups=groups,
                rows=down,
            )
            for phase, size, groups in zip(phases, SIZES, GROUPS, strict=True)
        )
    )


def make_transposed_convolution(
    phases: Phases, style: torch.Tensor, outputs: int, workspace: Workspace
) -> packed.Convolution:
    """`packed.make_transposed_convolution` of what `style` [I] multiplies, in float32."""

    def convolve(x: torch.Tensor) -> torch.Tensor:
        _, inputs, height, width = x.shape
        down, across = -(-height // 4), width // 4
        products = _multiply(
            phases, (down, across, inputs), x.dtype, workspace,
            lambda *tiles: launch.to_up_phases(x, style, tiles),
        )  # fmt: skip
        y = empty_rows(outputs, 8 * down + 8, 8 * across + 8, x.dtype)
        launch.from_up_phases(products, y)
        return y[:, :, : 2 * height + 1, : 2 * width + 1]

    return convolve


def make_convolution(
    phases: Phases, bias: torch.Tensor, workspace: Workspace
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Of stride 2, plus bias [O] in float32, then leaky ReLU.

    From [1, I, 2H + 1, 2W + 1] into [1, O, H, W], H and W being multiples of 4.
    """

    def convolve(x: torch.Tensor, out: torch.Tensor) -> None:
        shape = (out.shape[2] // 4, out.shape[3] // 4, x.shape[1])
        products = _multiply(
            phases, shape, x.dtype, workspace, lambda *tiles: launch.to_down_phases(x, tiles)
        )
        launch.from_down_phases(products, bias, out)

    return convolve


def _multiply(
    phases: Phases,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    workspace: Workspace,
    fill: Callable[..., None],
) -> tuple[torch.Tensor, ...]:
    """Products of what `fill` writes for tiles of shape (down, across, channels)."""
    down, across, channels = shape
    tiles = [
        workspace.take(f"phase {k}", (down, across * size // groups, groups * channels), dtype)
        for k, (size, groups) in enumerate(zip(SIZES, GROUPS, strict=True))
    ]
    fill(*tiles)
    inputs = (tile[None].permute(0, 3, 1, 2) for tile in tiles)
    return tuple(multiply(x) for multiply, x in zip(phases, inputs, strict=True))
