"""Where one crop lands in the image that it is pasted into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import warp

if TYPE_CHECKING:
    from ..faces import Alignment


@dataclass(frozen=True, eq=False)
class Placement:
    """The place of one face in the target, and the maps between target and crop.

    The *target* is the image or, where one was given, its enlarged background. The *cut* frame of a
    crop counts pixels at the size at which it was cut; its *pixels* may have another size by now.

    Convention: matrices are [2, 3] float64 on the CPU, act on points (x, y), and pixel centres lie
    at integers + 0.5.

    Attributes:
        image: which image of the batch.
        rectangle: the target's pixels that the crop covers, clipped to the target.
        scale: (x, y), target pixels per pixel of the photograph.
        to_target: maps points of the cut frame to points of the target.
        to_cut: the inverse.
        crop_size: side of the cut frame in pixels.
        pixels_size: side of the crop's pixels as they are now.
        device: where the face is computed.
        template: where the face lies in the crop, see `Alignment`.
        crop_factor: the crop's sides as a multiple of the template's, see `Alignment`.
    """

    image: int
    rectangle: warp.Rectangle
    scale: tuple[float, float]
    to_target: torch.Tensor
    to_cut: torch.Tensor
    crop_size: int
    pixels_size: int
    device: torch.device
    template: str
    crop_factor: float

    @property
    def to_template(self) -> torch.Tensor:
        """Maps points of the crop, in crop sides, to those of the template, in its sides."""
        factor = self.crop_factor
        to_template = warp.scaling(factor, factor)
        to_template[:, 2] = (1 - factor) / 2  # the middle stays
        return to_template

    def to_pixels(self, band: warp.Rectangle) -> torch.Tensor:
        """Map points of `band`, counted from its corner, to points of the crop's pixels."""
        resized = self.pixels_size / self.crop_size
        to_pixels = warp.compose(warp.scaling(resized, resized), self.to_cut)
        return warp.compose(to_pixels, warp.translation(*band.origin))


def place(
    alignment: Alignment,
    row: int,
    pixels_size: int,
    target: torch.Tensor,
    device: torch.device,
) -> Placement:
    """Find where crop `row` lands in `target` [B, 3, H', W']."""
    _, height, width = alignment.image_size
    scale = (target.shape[3] / width, target.shape[2] / height)  # x, y
    to_target = warp.compose(warp.scaling(*scale), alignment.inverse_affine[row])
    to_cut = warp.compose(alignment.affine[row], warp.scaling(1 / scale[0], 1 / scale[1]))
    covered = warp.bounding_rectangle(to_target, alignment.crop_size, alignment.crop_size)
    return Placement(
        image=int(alignment.image_index[row]),
        rectangle=_clip(covered, target),
        scale=scale,
        to_target=to_target,
        to_cut=to_cut,
        crop_size=alignment.crop_size,
        pixels_size=pixels_size,
        device=device,
        template=alignment.template,
        crop_factor=alignment.crop_factor,
    )


def _clip(rectangle: warp.Rectangle, target: torch.Tensor) -> warp.Rectangle:
    """Cut off what lies outside the target; a side may end up below 1 px."""
    return warp.Rectangle(
        max(rectangle.left, 0),
        max(rectangle.top, 0),
        min(rectangle.right, target.shape[3]),
        min(rectangle.bottom, target.shape[2]),
    )
