"""Paste restored crops back into the photograph, without a seam and only where the faces are."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from .. import warp
from ..errors import ImageError, MismatchError
from ..images import check_image, format_batch
from ..names import FACE_REGIONS, MASK_KINDS
from .blending import Patch, blend
from .clusters import find_clusters
from .grain import add_grain
from .masks import make_mask
from .options import FEATHER, PasteOptions
from .placement import Placement, place
from .warped import WarpedCrop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..faces import Alignment, Crops
    from ..progress import OnProgress
    from .parsing import FaceParser

PATCH_PIXELS = 4_000_000
"""Pixels of a face that are warped at a time. One pixel takes some 70 bytes meanwhile."""


@dataclass(frozen=True)
class Pasted:
    """The result of `paste` and `restore_image`.

    Attributes:
        image: [B, 3, H, W] RGB in [0, 1]; of the background's size where one was given.
        mask: [B, 1, H, W] float32 in [0, 1], how much of each pixel comes from the crops.
    """

    image: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the crops to paste.

    Attributes:
        crops: N crops, at the size at which they were cut or any other.
        given: [N, 3, S, S] the same crops as `cut` cut them from the target. They need not be cut
            again then, to see which detail a crop holds.
    """

    crops: Crops
    given: torch.Tensor | None = None

    def given_of(self, row: int) -> torch.Tensor | None:
        """Return [1, 3, S, S], the crop of that row as it was cut."""
        return None if self.given is None else self.given[row][None]


def paste(
    image: torch.Tensor,
    crops: Crops,
    *,
    detail: float | str = "auto",
    feather: float = FEATHER,
    background: torch.Tensor | None = None,
    limit: torch.Tensor | None = None,
    strength: float = 1.0,
    device: torch.device | None = None,
    on_progress: OnProgress | None = None,
    strengths: Sequence[float] | None = None,
    mask_kind: str = MASK_KINDS[0],
    regions: Sequence[str] = FACE_REGIONS,
    parser: FaceParser | None = None,
    crop_masks: torch.Tensor | None = None,
    grain: float = 0.0,
) -> Pasted:
    """Paste crops where they were cut. Pixels outside the mask stay bit-exact.

    A face has fine detail that its crop cannot hold, or that is lost where the crop is enlarged and
    reduced. `paste` keeps this detail: it subtracts from the photograph the part that a crop of it
    gives back, and adds the rest to the pasted crop. Where crops overlap, the nearer face decides.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch that the crops were cut from, on any device.
        crops: N crops, at the size at which they were cut or any other.
        detail: weight of the photograph's fine detail, 0 … 1. "auto" decides for each pixel: 0
            where the detail is noise, or belongs to what was removed from the crop.
        feather: width of the mask's slope, above 0 and at most 0.5: in crop sides for the box, in
            halves of them for every other mask, because a face is half as wide as its crop.
        background: [B, 3, H', W'], the batch enlarged; the result then has its size.
        limit: [B or 1, 1, H, W] in [0, 1]; multiplies the mask.
        strength: 0 … 1, the weight of the crops; the rest is the image (or background) itself, so
            that a low strength costs no detail. 0 leaves every pixel as it is, bit for bit. The
            mask does not depend on it.
        device: where to compute; by default where the image is. Only one image's faces are there at
            a time, and the results return to the image's device.
        on_progress: called with (crops done, all crops) after each crop; may raise.
        strengths: one strength for each crop, in the order of the crops, instead of `strength`.
        mask_kind: "box" pastes most of the crop; "oval" the face alone, as the crop's template
            places it; "parse" the parts in `regions`, which `parser` finds in the image.
        regions: for "parse", some of skin, brows, eyes, nose, lips, mouth, ears, glasses, hair,
            hat, neck.
        parser: from `load_parser`, for "parse".
        crop_masks: [N, 1, s, s] in [0, 1], a mask in the frame of each crop, of any size and in the
            order of the crops. It multiplies the mask, with a soft edge inside it.
        grain: 0 … 1. A restored face lacks the photograph's noise; at 1 noise of the same level and
            kind, measured outside the faces, is laid over it.

    Returns:
        image and mask. Where nothing is pasted, `image` is the very tensor given (or the
        background).

    Raises:
        MismatchError: crops, image, background or limit do not belong together, or an option is
            out of range.
        ImageError: a crop holds NaN.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> image = torch.rand(1, 3, 64, 64)
        >>> points = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])
        >>> faces = gpen.Faces(
        ...     boxes=torch.tensor([[16.0, 16, 48, 52]]), landmarks=points[None],
        ...     scores=torch.tensor([0.9]), image_index=torch.tensor([0]), image_size=(1, 64, 64))
        >>> crops = gpen.align(image, faces, size=32)
        >>> result = gpen.paste(image, crops)
        >>> result.image.shape, result.mask.shape
        (torch.Size([1, 3, 64, 64]), torch.Size([1, 1, 64, 64]))
        >>> outside = (result.mask == 0).expand_as(image)
        >>> bool((result.image[outside] == image[outside]).all())
        True
    """
    check_image(image)
    options = PasteOptions(
        detail, feather, background, limit, strength, strengths, mask_kind, regions, parser,
        crop_masks, grain,
    )  # fmt: skip
    options.check(image)
    options.check_background()
    options.check_count(len(crops))
    order = _order_by_image(crops)
    options = replace(
        options,
        strengths=None if strengths is None else [strengths[row] for row in order],
        crop_masks=None if crop_masks is None else crop_masks[order],
    )
    parts = _one_by_one(image, crops, on_progress)
    return paste_parts(image, crops.alignment[order], parts, options, device=device)


def paste_parts(
    image: torch.Tensor,
    alignment: Alignment,
    parts: Iterable[Part],
    options: PasteOptions,
    *,
    device: torch.device | None = None,
    in_place: bool = False,
) -> Pasted:
    """Paste as `paste` does, but from crops that come a few at a time.

    Only a crop's patch of the target is kept, until all patches that touch it are there.

    Args:
        image: see `paste`.
        alignment: all crops, in the order of their images.
        parts: the same crops in the same order; taken one after the other, none is kept.
        options: the user's choices.
        device: see `paste`.
        in_place: write into `image` (or the background), instead of into a copy of it.

    Raises:
        MismatchError: see `paste`; for bad options before the first part is taken.
    """
    options.check(image)
    target = image if options.background is None else options.background
    device = device or target.device
    result = target
    size = (target.shape[0], 1, *target.shape[2:])
    mask = torch.zeros(size, dtype=torch.float32, device=target.device)
    clusters = find_clusters(alignment, target)
    missing = Counter(clusters)
    waiting: dict[int, list[Patch]] = {cluster: [] for cluster in missing}
    numbers = itertools.count()
    changed: list[Placement] = []
    for part in parts:
        crops = part.crops
        _check_crops(image, crops)
        for row in _order_by_image(crops):
            number = next(numbers)
            cluster = clusters[number]
            placement = place(crops.alignment, row, crops.size, target, device)
            waiting[cluster] += _make_patches(
                crops.pixels[row][None], part.given_of(row), placement, target, options, number
            )
            changed += [placement] if options.strength_of(number) > 0 else []
            missing[cluster] -= 1
            if missing[cluster]:
                continue
            patches = waiting.pop(cluster)
            if patches and result is target and not in_place:
                result = target.clone()
            blend(patches, target[placement.image], result[placement.image], mask[placement.image])
            del patches
        del part, crops  # frees them before the next part is made
    if options.grain > 0:
        add_grain(result, mask, changed, options.grain)
    return Pasted(result, mask)


def _one_by_one(
    image: torch.Tensor, crops: Crops, on_progress: OnProgress | None
) -> Iterator[Part]:
    """Give each crop by itself, in the order of the images."""
    _check_crops(image, crops)  # here too, for the case of no crops
    _check_no_nan(crops.pixels)
    rows = _order_by_image(crops)
    for done, row in enumerate(rows, start=1):
        yield Part(crops[row])
        if on_progress is not None:
            on_progress(done, len(rows))


def _order_by_image(crops: Crops) -> list[int]:
    """Return the rows of the crops, image by image."""
    return crops.alignment.image_index.argsort(stable=True).tolist()


def _check_no_nan(pixels: torch.Tensor) -> None:
    """Raise ImageError for the first crop [3, S, S] that holds NaN. Waits for a GPU only once."""
    has_nan = [crop.isnan().any() for crop in pixels]
    if has_nan and torch.stack(has_nan).any():
        raise ImageError(
            f"Crop {[bool(one) for one in has_nan].index(True)} holds NaN; nothing was pasted. "
            "Whatever made it overflowed, as a network in float16 may."
        )


def _check_crops(image: torch.Tensor, crops: Crops) -> None:
    found = (image.shape[0], image.shape[2], image.shape[3])
    if found != crops.alignment.image_size:
        raise MismatchError(
            f"These crops were cut from {format_batch(crops.alignment.image_size)}, found "
            f"{format_batch(found)}. Paste into the images in which the faces were detected; "
            "enlarged ones go into `background`."
        )


def _make_patches(
    pixels: torch.Tensor,
    given: torch.Tensor | None,
    placement: Placement,
    target: torch.Tensor,
    options: PasteOptions,
    number: int,
) -> Iterator[Patch]:
    """Make the patches of crop `number` [1, 3, S, S]; none where it lies outside the target.

    `given` is the crop before it was restored, see `Part`.
    """
    rectangle, device = placement.rectangle, placement.device
    if rectangle.width < 1 or rectangle.height < 1:
        return
    strength = options.strength_of(number)
    background = target[placement.image][None]
    mask = make_mask(placement, options, background, number)
    pixels = pixels.to(device, warp.working_dtype(target))
    to_template = warp.compose(placement.to_template, placement.to_cut / placement.crop_size)
    detail = options.detail if strength > 0 else 0.0
    warped = WarpedCrop(pixels, background, placement, detail, given)
    for band in _bands(rectangle):
        before = warp.cut_rectangle(background, band).to(pixels)
        values = before
        if strength > 0:
            values = warped.at(band, before)
            values = values if strength == 1 else before.lerp(values, strength)
        values = values[0]
        weights = mask.weights(band, values)
        yield Patch(band, values, weights, to_template, changes=strength > 0)


def _bands(rectangle: warp.Rectangle) -> Iterator[warp.Rectangle]:
    """Split a rectangle into bands of rows of at most `PATCH_PIXELS` pixels."""
    rows = max(1, PATCH_PIXELS // rectangle.width)
    for top in range(rectangle.top, rectangle.bottom, rows):
        yield rectangle._replace(top=top, bottom=min(top + rows, rectangle.bottom))
