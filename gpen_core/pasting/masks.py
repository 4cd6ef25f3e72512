"""The weight of each target pixel's crop: a feathered box, oval or drawn mask, and a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import warp
from .feathering import feather_drawn
from .options import FEATHER

if TYPE_CHECKING:
    from ..faces import Alignment
    from .options import PasteOptions
    from .placement import Placement

CORNER_RADIUS = 0.4
"""Corner radius of the rounded square, in the template's sides: it keeps hair and chin, and drops
the corners."""

OVALS = {"gpen": (0.5, 0.548, 0.25, 0.325), "ffhq": (0.501, 0.548, 0.279, 0.363)}
"""Centre x, y and half axes of a face's oval, in the template's sides.

For "gpen" they follow from the distance of its eyes, 0.21: a face is 2.4 × as wide, from 1.1 above
to 1.9 below the eyes. "ffhq" maps the same oval by the similarity between both templates.
"""

FACE_WIDTH = 0.5
"""The slope of ovals and drawn masks is this much steeper than that of the box: a face is half as
wide as its crop."""


@dataclass(frozen=True, eq=False)
class FaceMask:
    """The mask of one crop, computed band by band.

    Attributes:
        placement: where the crop lies.
        options: the user's choices.
        drawn: [1, 1, s, s] in [0, 1], weights in the crop's frame that multiply the shape, or None.
    """

    placement: Placement
    options: PasteOptions
    drawn: torch.Tensor | None

    def weights(self, band: warp.Rectangle, like: torch.Tensor) -> torch.Tensor:
        """Compute weights [1, h, w] of the crop in `band`, in the dtype and device of `like`."""
        placement, options = self.placement, self.options
        if options.mask_kind == "oval":
            weights = oval_mask(placement, band, options.feather, like)
        else:
            weights = box_mask(placement, band, options.feather, like)
        if self.drawn is not None:
            to_drawn = warp.compose(
                warp.scaling(*[self.drawn.shape[-1] / placement.pixels_size] * 2),
                placement.to_pixels(band),
            )
            drawn = warp.resample(self.drawn, to_drawn, band.height, band.width)
            weights = weights * drawn[0].to(weights).clamp(0, 1)
        if options.limit is not None:
            weights = weights * limit_patch(options.limit, placement, band).to(weights)
        return weights


def make_mask(
    placement: Placement, options: PasteOptions, background: torch.Tensor, row: int
) -> FaceMask:
    """Make the mask of crop `row`, counted over all parts.

    Args:
        placement: where the crop lies.
        options: the user's choices.
        background: [1, 3, H', W'] the image that the crop is pasted into. The parser sees the face
            there, not the crop: it protects what covers the face in the photograph.
        row: the crop's number.
    """
    drawn = None
    if options.mask_kind == "parse" and options.parser is not None:
        side = options.parser.size
        pixels = cut_face(background, placement, side)
        drawn = _widen(options.parser.find_regions(pixels, options.regions), placement)
    if options.crop_masks is not None:
        chosen = options.crop_masks[row][None].to(placement.device, torch.float32).clamp(0, 1)
        drawn = chosen if drawn is None else _combine(drawn.to(chosen), chosen)
    if drawn is not None:
        feather = options.feather * FACE_WIDTH / placement.crop_factor
        drawn = feather_drawn(drawn, feather).to(placement.device)
    return FaceMask(placement, options, drawn)


def cut_face(background: torch.Tensor, placement: Placement, side: int) -> torch.Tensor:
    """Cut the face from the target as a crop [1, 3, side, side] on the placement's device.

    It shows what the template shows, also where the pasted crop shows more.
    """
    factor = placement.crop_factor
    to_cut = warp.scaling(*[placement.crop_size / side / factor] * 2)
    to_cut[:, 2] = placement.crop_size * (1 - 1 / factor) / 2
    to_target = warp.compose(placement.to_target, to_cut)
    first = torch.zeros(1, dtype=torch.int64, device="cpu")
    face = warp.cut_crops(background, to_target[None], first, side, placement.device)
    return face.to(placement.device)


def _widen(mask: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Turn a mask [1, 1, s, s] of what the template shows into one of the crop."""
    if placement.crop_factor == 1:
        return mask
    side = math.ceil(mask.shape[-1] * placement.crop_factor)
    to_crop, to_mask = warp.scaling(*[1 / side] * 2), warp.scaling(*mask.shape[-2:])
    to_mask = warp.compose(to_mask, warp.compose(placement.to_template, to_crop))
    return warp.resample(mask, to_mask, side, side)


def _combine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Multiply two masks [1, 1, s, s] at the larger of their sizes."""
    side = max(one.shape[-1], other.shape[-1])
    return (warp.resize(one, side, side) * warp.resize(other, side, side)).clamp(0, 1)


def box_mask(
    placement: Placement, band: warp.Rectangle, feather: float, like: torch.Tensor
) -> torch.Tensor:
    """Compute weights [1, h, w] of a rounded square in `band`.

    They are 0 at and beyond the template's border and reach 1 at `feather` of its sides inside it.
    The mask is computed from each pixel's place in the crop, not resampled, so that it ends in 0
    with slope 0 at any scale.
    """
    # Distances past the straight part of the rounded square's sides, in the template's sides.
    past_x, past_y = (
        (place - 0.5).abs() - (0.5 - CORNER_RADIUS) for place in _places(placement, band, like)
    )
    outside = torch.hypot(past_x.clamp(min=0), past_y.clamp(min=0))
    inside = torch.maximum(past_x, past_y).clamp(max=0)
    depth = ((CORNER_RADIUS - outside - inside) / feather).clamp(0, 1)
    return (depth * depth * (3 - 2 * depth))[None]


def oval_mask(
    placement: Placement, band: warp.Rectangle, feather: float, like: torch.Tensor
) -> torch.Tensor:
    """Compute weights [1, h, w] of the face's oval in `band`, as `box_mask` does.

    The oval follows from the template: its landmarks have fixed places in the crop.
    """
    return _weigh_oval(*_places(placement, band, like), placement.template, feather)


def draw_ovals(alignment: Alignment, feather: float = FEATHER) -> torch.Tensor:
    """Draw each face's oval into the frame of its crop.

    Args:
        alignment: the places of N crops.
        feather: width of the soft edge, as in `paste`.

    Returns:
        [N, 1, S, S] float32 in [0, 1]. All are one mask: do not write into it.
    """
    side, factor = alignment.crop_size, alignment.crop_factor
    places = (torch.arange(side, dtype=torch.float32, device="cpu") + 0.5) / side
    places = factor * places + (1 - factor) / 2
    oval = _weigh_oval(places, places[:, None], alignment.template, feather)
    return oval.expand(len(alignment), 1, side, side)


def _weigh_oval(x: torch.Tensor, y: torch.Tensor, template: str, feather: float) -> torch.Tensor:
    """Compute the weights [1, h, w] of an oval at places in the template."""
    centre_x, centre_y, half_width, half_height = OVALS[template]
    distance = torch.hypot((x - centre_x) / half_width, (y - centre_y) / half_height)
    depth = ((1 - distance) * half_width / (feather * FACE_WIDTH)).clamp(0, 1)
    return (depth * depth * (3 - 2 * depth))[None]


def _places(
    placement: Placement, band: warp.Rectangle, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute x and y [h, w] of each pixel of `band` in the template, in its sides."""
    to_crop = placement.to_pixels(band) / placement.pixels_size
    matrix = warp.compose(placement.to_template, to_crop).tolist()
    x = torch.arange(band.width, device=like.device, dtype=like.dtype) + 0.5
    y = torch.arange(band.height, device=like.device, dtype=like.dtype)[:, None] + 0.5
    across, down = (a * x + b * y + c for a, b, c in matrix)
    return across, down


def limit_patch(limit: torch.Tensor, placement: Placement, band: warp.Rectangle) -> torch.Tensor:
    """Cut the user's mask `limit` [B or 1, 1, H, W] at `band`; gives [1, h, w] in [0, 1]."""
    mask = limit[placement.image % limit.shape[0]][None]
    if placement.scale == (1, 1):
        return warp.cut_rectangle(mask, band)[0].to(placement.device).clamp(0, 1)
    x, y = placement.scale
    to_limit = warp.compose(warp.scaling(1 / x, 1 / y), warp.translation(*band.origin))
    around = warp.bounding_rectangle(to_limit, band.width, band.height)
    local = warp.compose(warp.translation(-around.left, -around.top), to_limit)
    part = warp.cut_rectangle(mask, around).to(placement.device, warp.working_dtype(mask))
    return warp.resample(part.clamp(0, 1), local, band.height, band.width)[0].clamp(0, 1)
