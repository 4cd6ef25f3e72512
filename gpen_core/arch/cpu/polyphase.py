"""3×3 convolutions of stride 2, transposed or not, with 81 multiplications instead of 144.

Along one axis, output 2j + 1 of a transposed convolution is input j times the middle tap, and
output 2j adds up inputs j − 1 and j times the two outer taps. So the odd outputs need one product
each, and the even ones are a product of polynomials. It takes five values, at ±A, ±B and infinity
(`points`), to get five even outputs from four inputs. The fifth adds to the first of the next tile.

Along two axes this makes four phases. For a tile of 4×4 inputs and one pair of channels:

    phase     output rows   output columns   tap rows   tap columns   products      weights
    both      even          even             0, 2       0, 2          5 × 5 = 25    25
    rows      even          odd              0, 2       1             5 × 4 = 20     5
    columns   odd           even             1          0, 2          4 × 5 = 20     5
    none      odd           odd              1          1             4 × 4 = 16     1
    all                                                                     81      36

A phase is named after the index over which its inputs are evaluated as polynomials. A direct
computation has 16 inputs times 9 taps, 144 products. A convolution of stride 2 is the transpose of
all this.

Only the compiled kernels use it: with torch's operations, the transforms would take the time that
the products save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from . import launch, packed
from .points import PRODUCTS, WEIGHTS, A, B
from .workspace import empty_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from .workspace import Workspace

LEAST_CHANNELS = 128
"""Input channels from which it is faster; see benchmarks/NOTES.md."""

LEAST_SIZE = 32
"""Side of the smaller image in pixels from which it is faster."""


def is_faster(weight: torch.Tensor, size: int) -> bool:
    """Tell whether it saves more time on products than the transforms take.

    In bfloat16 it would save 6 % of a pass, but its rounding costs up to 2.2 of about 48 dB.

    Args:
        size: side of the smaller image in pixels.
    """
    outputs, inputs = weight.shape[:2]
    return (
        weight.dtype == torch.float32
        and size >= LEAST_SIZE
        and inputs >= LEAST_CHANNELS
        and launch.supports(weight.dtype, inputs, outputs)
    )


class Phases(NamedTuple):
    """The products of the four phases, as 1×1 convolutions in groups: one group per weight."""

    both: packed.Convolution
    rows: packed.Convolution
    columns: packed.Convolution
    none: packed.Convolution


def prepare(weight: torch.Tensor, down: int, across: int) -> Phases:
    """Make the products of a weight [O, I, 3, 3] with down × across tiles at a time."""
    # The divisor of the interpolation, see `_interpolate` in polyphase_kernels.py.
    scale = 1 / (2 * (B**2 - A**2))
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
            for phase, size, groups in zip(phases, PRODUCTS, WEIGHTS, strict=True)
        )
    )


def make_transposed_convolution(
    phases: Phases, style: torch.Tensor, outputs: int, workspace: Workspace
) -> packed.Convolution:
    """Make a transposed convolution of stride 2 whose inputs `style` [I], float32, multiplies."""

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
    """Make a convolution of stride 2 that adds a bias [O], float32, and applies leaky ReLU.

    It maps [1, I, 2H + 1, 2W + 1] into [1, O, H, W], where H and W must be multiples of 4.
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
    """Let `fill` write the inputs of the four phases, and multiply them.

    Args:
        shape: tiles down, tiles across, and channels.
    """
    down, across, channels = shape
    tiles = [
        workspace.take(f"phase {k}", (down, across * size // groups, groups * channels), dtype)
        for k, (size, groups) in enumerate(zip(PRODUCTS, WEIGHTS, strict=True))
    ]
    fill(*tiles)
    inputs = (tile[None].permute(0, 3, 1, 2) for tile in tiles)
    return tuple(multiply(x) for multiply, x in zip(phases, inputs, strict=True))
