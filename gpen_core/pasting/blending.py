"""Patches of restored faces, and how those that overlap are blended into an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..warp import Rectangle


@dataclass(frozen=True)
class Patch:
    """A face, or a band of rows of it, in the photograph: where, what, and with what weight."""

    rectangle: Rectangle
    values: torch.Tensor  # [3, h, w]
    weights: torch.Tensor  # [1, h, w]


def blend(
    patches: list[Patch], base: torch.Tensor, result: torch.Tensor, mask: torch.Tensor
) -> None:
    """Write all patches of one image over base [3, H, W], to result [3, H, W] and mask [1, H, W].

    Together they cover 1 − Π(1 − weight) of a pixel, each in proportion to its weight, in no order.
    Where rectangles overlap every one of them writes the same; so a crowd whose faces all touch
    needs no more memory, beside its patches, than its largest face.
    """
    for patch in patches:
        near = [other for other in patches if _touch(patch, other)]
        _blend_at(patch.rectangle, near, base, result, mask)


def _blend_at(
    rectangle: Rectangle,
    patches: list[Patch],
    base: torch.Tensor,
    result: torch.Tensor,
    mask: torch.Tensor,
) -> None:
    """Write the patches that reach into a rectangle."""
    left, top, right, bottom = rectangle
    like = patches[0].values
    total = like.new_zeros(3, bottom - top, right - left)
    weight = like.new_zeros(1, bottom - top, right - left)
    bare = torch.ones_like(weight)
    for patch in patches:
        other = patch.rectangle
        x0, y0 = max(left, other.left), max(top, other.top)
        x1, y1 = min(right, other.right), min(bottom, other.bottom)
        here = (..., slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        there = (
            ...,
            slice(y0 - other.top, y1 - other.top),
            slice(x0 - other.left, x1 - other.left),
        )
        weights = patch.weights[there]
        total[here] += weights * patch.values[there]
        weight[here] += weights
        bare[here] *= 1 - weights
    place = (..., slice(top, bottom), slice(left, right))
    under, cover = base[place].to(like.device), 1 - bare
    blended = under.to(like.dtype).lerp(total / weight.clamp(min=1e-12), cover)
    result[place] = torch.where(weight > 0, blended.to(under.dtype), under)
    mask[place] = torch.where(weight > 0, cover, 0).to(mask.dtype)


def _touch(one: Patch, other: Patch) -> bool:
    a, b = one.rectangle, other.rectangle
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
