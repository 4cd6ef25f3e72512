"""Resizes each image of a batch to a different size with a different filter, in two products.

Images of several sizes share a canvas [B, C, H, W]. Each image fills the top left corner, and its
last row and column are repeated to the edge of the canvas: blurs and JPEG read beyond the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ..devices import to_device

if TYPE_CHECKING:
    from collections.abc import Callable

CANVAS_STEP = 16  # px; a multiple of JPEG's unit, which then needs no padding


class Canvas(NamedTuple):
    """Images of several sizes in one tensor.

    Attributes:
        pixels: [B, C, H, W].
        heights, widths: [B] int64 on the CPU, the size of each image.
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
    """Resize each image, with a low-pass where it shrinks.

    Args:
        canvas: the images.
        heights, widths: [B] int64 on the CPU, the new sizes.
        filters: [B] int64 on the CPU, indices into FILTERS.
        step: the sides of the new canvas are multiples of this.
    """
    pixels = canvas.pixels
    rows = _weigh_samples(canvas.heights, heights, pixels.shape[2], filters, step, pixels.device)
    columns = _weigh_samples(canvas.widths, widths, pixels.shape[3], filters, step, pixels.device)
    rows, columns = (matrix[:, None].to(pixels.dtype) for matrix in (rows, columns))
    return Canvas(rows @ pixels @ columns.transpose(2, 3), heights, widths)


def extend_edges(canvas: Canvas) -> Canvas:
    """Repeat the edge of each image beyond its size rounded up to CANVAS_STEP.

    Noise and JPEG change the pixels beyond an image; how many there are depends on the other
    images of the canvas. After this call every image has the surroundings that it has alone.
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


def _weigh_samples(
    before: torch.Tensor,
    after: torch.Tensor,
    side: int,
    filters: torch.Tensor,
    step: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the weight of each old sample in each new one, [B, new side, side]; rows sum to 1.

    Args:
        before, after: [B] int64, the images' old and new sides.
        side: of the old canvas.
        filters: [B] int64, indices into FILTERS.
        step: the new canvas' side is a multiple of this.
        device: of the result.
    """
    new_side = -(-int(after.max()) // step) * step
    before, after = to_device(torch.stack([before, after]), device)
    ratio = (before / after)[:, None, None]
    new = torch.arange(new_side, device=device).minimum(after[:, None] - 1)[:, :, None]
    old = torch.arange(side, device=device)[None, None, :]
    distance = (old + 0.5 - (new + 0.5) * ratio).abs()  # [B, new, old], in old samples
    weights = torch.zeros_like(distance)
    for index in filters.unique().tolist():
        # By index: with a mask the CPU would wait for the GPU to count it.
        chosen = to_device((filters == index).nonzero()[:, 0], device)
        weights[chosen] = list(FILTERS.values())[index](distance[chosen], ratio[chosen])
    weights = weights * (old < before[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _weigh_area(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Return the length of the old sample that the new one covers."""
    return ((ratio + 1) / 2 - distance).clamp(min=0).minimum(ratio.clamp(max=1))


def _weigh_bilinear(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    return (1 - distance / ratio.clamp(min=1)).clamp(min=0)


def _weigh_bicubic(distance: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Return Keys' cubic convolution kernel with a = −½."""
    x = (distance / ratio.clamp(min=1)).clamp(max=2)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far)


FILTERS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "area": _weigh_area,
    "bilinear": _weigh_bilinear,
    "bicubic": _weigh_bicubic,
}
