"""Patches of pasted faces, and how patches that overlap are blended into one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..warp import Rectangle, compose, overlap, translation

FACE_CENTRE = (0.5, 0.6)
"""Mean of the five landmarks in the template, in its sides; both templates have it within 0.006."""

NEARNESS = 0.01
"""Where crops overlap, a crop counts exp(−d² / NEARNESS), d its face's distance in sides of the
template."""

SMALLEST = 1e-30
"""Sums of weights below this count as this; single precision still holds it."""

FARTHEST = 1e-9
"""A crop's least nearness: beside it the nearness of another decides, alone it counts in full."""


@dataclass(frozen=True)
class Patch:
    """A face, or a band of its rows, as it will stand in the target.

    Attributes:
        rectangle: its place in the target.
        values: [3, h, w] RGB.
        weights: [1, h, w] in [0, 1].
        to_template: [2, 3] float64, maps points of the target to points of the template, in its
            sides.
        changes: whether the values differ from the target. Where no patch changes anything, the
            target's pixels stay bit for bit, which an average of equal values would not give.
    """

    rectangle: Rectangle
    values: torch.Tensor
    weights: torch.Tensor
    to_template: torch.Tensor
    changes: bool = True


def blend(
    patches: list[Patch], target: torch.Tensor, result: torch.Tensor, mask: torch.Tensor
) -> None:
    """Blend all patches of one image over `target`.

    Together the patches cover 1 − Π(1 − weight) of a pixel, each in proportion to its weight and to
    the nearness of its face, so that each face consists of its own crop; their order does not
    matter. Where rectangles overlap, each patch would write the same result, and the first does. So
    a crowd whose faces all touch needs, beside its patches, no more memory than its largest face.

    Args:
        patches: all that touch each other or one of these patches.
        target: [3, H, W] the image before pasting.
        result: [3, H, W] is written where patches lie. It may be `target` itself.
        mask: [1, H, W] is written there, too. Where it is above 0, `result` is finished already.
    """
    for patch in patches:
        overlapping = [other for other in patches if overlap(patch.rectangle, other.rectangle)]
        _blend_at(patch.rectangle, overlapping, target, result, mask)


def _blend_at(
    rectangle: Rectangle,
    patches: list[Patch],
    target: torch.Tensor,
    result: torch.Tensor,
    mask: torch.Tensor,
) -> None:
    """Write the pixels of one rectangle from all patches that reach into it."""
    left, top, right, bottom = rectangle
    like = patches[0].values
    total = like.new_zeros(3, bottom - top, right - left)
    weight = like.new_zeros(1, bottom - top, right - left)
    uncovered = torch.ones_like(weight)
    alone = len(patches) == 1
    # The same tensor as `weight` unless a patch leaves the target as it is.
    changed = weight if all(patch.changes for patch in patches) else torch.zeros_like(weight)
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
        uncovered[here] *= 1 - weights
        if not alone:
            weights = weights * _nearness(patch, Rectangle(x0, y0, x1, y1), like)
        total[here] += weights * patch.values[there]
        weight[here] += weights
        if changed is not weight and patch.changes:
            changed[here] += weights
    place = (..., slice(top, bottom), slice(left, right))
    # A pixel whose mask is above 0 was written with an earlier rectangle.
    changed = torch.where(mask[place].to(like.device) > 0, 0, changed)
    under, cover = target[place].to(like.device), 1 - uncovered
    blended = under.to(like.dtype).lerp(total / weight.clamp(min=SMALLEST), cover)
    kept = result[place].to(like.device)
    result[place] = torch.where(changed > 0, blended.to(under.dtype), kept)
    mask[place] = torch.where(weight > 0, cover, 0).to(mask.dtype)


def _nearness(patch: Patch, rectangle: Rectangle, like: torch.Tensor) -> torch.Tensor:
    """Compute how near the pixels [1, h, w] of a rectangle are to the patch's face, up to 1."""
    (a, b, c), (d, e, f) = compose(patch.to_template, translation(*rectangle.origin)).tolist()
    x = torch.arange(rectangle.width, device=like.device, dtype=like.dtype) + 0.5
    y = torch.arange(rectangle.height, device=like.device, dtype=like.dtype)[:, None] + 0.5
    across, down = a * x + b * y + (c - FACE_CENTRE[0]), d * x + e * y + (f - FACE_CENTRE[1])
    return torch.exp((across.square() + down.square()) / -NEARNESS)[None].clamp(min=FARTHEST)
