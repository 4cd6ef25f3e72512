"""Which crops touch each other in the image: a cluster can be blended once all of it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import warp
from .placement import place

if TYPE_CHECKING:
    import torch

    from ..faces import Alignment

REACH = 8
"""A crop's content is resampled from pixels up to 1 / REACH of its side beyond its border."""


def find_clusters(alignment: Alignment, target: torch.Tensor) -> list[int]:
    """Number the clusters of crops that touch, directly or through others, within one image.

    Args:
        alignment: the N crops.
        target: [B, 3, H', W'] the images that they are pasted into.

    Returns:
        The number of each crop's cluster, the index of one of its crops.
    """
    areas: list[tuple[int, warp.Rectangle]] = []
    numbers: list[int] = []
    for row in range(len(alignment)):
        placement = place(alignment, row, alignment.crop_size, target, target.device)
        area = (placement.image, _grow(placement.rectangle))
        touched = {numbers[other] for other in range(row) if _touch(area, areas[other])}
        numbers = [row if number in touched else number for number in numbers]
        areas.append(area)
        numbers.append(row)
    return numbers


def _grow(rectangle: warp.Rectangle) -> warp.Rectangle:
    x, y = rectangle.width // REACH + 1, rectangle.height // REACH + 1
    left, top, right, bottom = rectangle
    return warp.Rectangle(left - x, top - y, right + x, bottom + y)


def _touch(one: tuple[int, warp.Rectangle], other: tuple[int, warp.Rectangle]) -> bool:
    (image, a), (other_image, b) = one, other
    return image == other_image and warp.overlap(a, b)
