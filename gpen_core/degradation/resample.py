"""Resizes every image of a batch to a size and with a filter of its own, in two products.

Images of different sizes share a canvas [B, C, H, W]: each fills its top left corner, and its
last row and column go on to the canvas' edge, as JPEG and blurs want it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ..devices import to_device

if TYPE_CHECKING:
    from collections.abc import Callable

CANVAS_STEP = 16  # what JPEG works on, so that it has nothing to pad


class Canvas(NamedTuple):
    """Images of several sizes in one tensor.

    Attributes:
        pixels: [B, C, H, W].
        heights, widths: [B] int64 on the CPU, the part that is image.
    """

    pixels: torch.Tensor
    heights: torch.Tensor
    widths: torch.Tensor


def resize(
    canvas: Canvas,
    heights: torch.Tensor,
    widths: torch.Tensor,
    filters: torch.Tensor,
    *,
    step: int = CANVAS_STEP,
) -> Canvas:
    """Resize each image, low-passed where it shrinks.

    Args:
        canvas: the images.
        heights, widths: [B] int64 on the CPU, the new sizes.
        filters: [B] int64 on the CPU, indices into FILTERS.
        step: the new canvas' sides are multiples of this.
    """
    pixels = canvas.pixels
    rows = _weights(canvas.heights, heights, pixels.shape[2], filters, step, pixels.device)
    columns = _weights(canvas.widths, widths, pixels.shape[3], filters, step, pixels.device)
    rows, columns = (matrix[:, None].to(pixels.dtype) for matrix in (rows, columns))
    return Canvas(rows @ pixels @ columns.transpose(2, 3), heights, widths)


def extend(canvas: Canvas) -> Canvas:
    """As if every image had a canvas of its own, as large as it must be: its edge goes on.

    Noise and JPEG have made what lies beyond it depend on how large the others are.
    """
    ends = [-(-sides // CANVAS_STEP) * CANVAS_STEP for sides in (canvas.heights, canvas.widths)]
    pixels = canvas.pixels
    for dim, end in zip((2, 3), ends, strict=True):
        side = pixels.shape[dim]
        if int(end.min()) >= side:
            continue
        at = torch.arange(side, device=pixels.device).minimum(
            to_device(end, pixels.device)[:, None] - 1
        )
        at = at[:, None, :, None] if dim == 2 else at[:, None, None, :]
        pixels = pixels.gather(dim, at.expand(pixels.shape))
    return canvas._replace(pixels=pixels)


def _weights(
    before: torch.Tensor,
    after: torch.Tensor,
    side: int,
    filters: torch.Tensor,
    step: int,
    device: torch.device,
) -> torch.Tensor:
    """[B, new side, side]: how much of each old sample goes into each new one; rows sum to 1."""
    new_side = -(-int(after.max()) // step) * step
    before, after = to_device(torch.stack([before, after]), device)
    ratio = (before / after)[:, None, None]
    new = torch.arange(new_side, device=device).minimum(after[:, None] - 1)[:, :, None]
    old = torch.arange(side, device=device)[None, None, :]
    distance = (old + 0.5 - (new + 0.5) * ratio).abs()  # [B, new, old], in old samples
    weights = torch.zeros_like(distance)
    for index in filters.unique().tolist():
        # By number: a mask on a GPU would have to be counted first.
        chosen = to_device((filters == index).nonzero()[:, 0], device)
        weights[chosen] = list(FILTERS.values())[index](distance[chosen], ratio[chosen])
    weights = weights * (old < before[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _area(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Length shared by an old sample and the span of a new one."""
    return ((ratio + 1) / 2 - distance).clamp(min=0).minimum(ratio.clamp(max=1))


def _bilinear(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    return (1 - distance / ratio.clamp(min=1)).clamp(min=0)


def _bicubic(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Keys' cubic with a = −½."""
    x = (distance / ratio.clamp(min=1)).clamp(max=2)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far)


FILTERS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "area": _area,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
}
