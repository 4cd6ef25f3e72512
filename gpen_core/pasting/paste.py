"""Puts restored crops back into the photograph, seamlessly and only where the faces are."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import torch

from .. import warp
from ..errors import ImageError, MismatchError
from .blending import Patch, blend
from .detail import detail_share
from .masks import crop_mask, limit_patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..faces import Crops
    from ..progress import OnProgress

FEATHER = 0.15
"""Default width of the mask's slope, in crop sides."""

PATCH_PIXELS = 4_000_000
"""How much of a face is warped at a time: a pixel takes some 70 bytes on the way."""


@dataclass(frozen=True)
class Pasted:
    """What `paste` returns.

    Attributes:
        image: [B, 3, H, W] RGB in [0, 1], of the background's size where one was given.
        mask: [B, 1, H, W] float32 in [0, 1], how much of each pixel comes from the crops.
    """

    image: torch.Tensor
    mask: torch.Tensor


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
) -> Pasted:
    """Paste crops where they were cut; pixels outside the mask stay bit-exact.

    A large face has fine detail that its crop cannot hold. That band of the photograph, what is
    left when the same crop cut from it is warped back, is added to the pasted crop.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch the crops were cut from, on any device.
        crops: N crops, of the size at which they were cut or any other.
        detail: how much of the photograph's finer band to keep, 0 … 1; "auto" decides for each
            face: all of it where it is clean, none where it is noise or the crop holds everything.
        feather: width of the mask's slope, in crop sides, up to 0.5.
        background: [B, 3, H', W'], the batch enlarged; the result has its size.
        limit: [B or 1, 1, H, W] in [0, 1], multiplies the mask.
        strength: 0 … 1, how much of what is pasted to take; the rest is the image (or background)
            itself, which loses nothing by being cut and put back. The mask stays the same.
        device: where to compute, if not where the image is; the faces of one image go there at a
            time, and the results come back to the image.
        on_progress: called with (crops done, all crops) after each crop; may raise.

    Returns:
        image and mask. Where nothing is pasted the image (or background) is the very one given.

    Raises:
        MismatchError: crops, image, background or limit do not belong together, or an option is
            out of range.
        ImageError: a crop holds NaN.
    """
    return paste_parts(
        image,
        _one_by_one(image, crops, on_progress),
        detail=detail,
        feather=feather,
        background=background,
        limit=limit,
        strength=strength,
        device=device,
    )


def paste_parts(
    image: torch.Tensor,
    parts: Iterable[Crops],
    *,
    detail: float | str = "auto",
    feather: float = FEATHER,
    background: torch.Tensor | None = None,
    limit: torch.Tensor | None = None,
    strength: float = 1.0,
    device: torch.device | None = None,
) -> Pasted:
    """As `paste`, of crops that come a few at a time and need not exist together.

    What is held of a crop meanwhile is its patch of the photograph, until all of its image are in.

    Args:
        image, detail, feather, background, limit, strength, device: see `paste`.
        parts: crops in the order of their images; taken one after the other, none kept.

    Raises:
        MismatchError: see `paste`; for options before the first part is taken.
    """
    check_options(image, detail, feather, background, limit, strength)
    base = image if background is None else background
    result = base
    mask = torch.zeros((base.shape[0], 1, *base.shape[2:]), dtype=torch.float32, device=base.device)

    def numbered() -> Iterator[tuple[int, Patch]]:
        for crops in parts:
            _check_crops(image, crops)
            images = crops.alignment.image_index
            for row in images.argsort(stable=True).tolist():
                for patch in _patches(
                    image, base, crops, row, detail, feather, limit, strength, device or base.device
                ):
                    yield int(images[row]), patch
            del crops  # before the next ones are made

    for index, group in itertools.groupby(numbered(), key=itemgetter(0)):
        patches = [patch for _, patch in group]
        if result is base:
            result = base.clone()
        blend(patches, base[index], result[index], mask[index])
    return Pasted(result, mask)


def _one_by_one(
    image: torch.Tensor, crops: Crops, on_progress: OnProgress | None
) -> Iterator[Crops]:
    """Each crop by itself, in the order of the images."""
    _check_crops(image, crops)  # of no crops, too
    _check_no_nan(crops.pixels)
    rows = crops.alignment.image_index.argsort(stable=True).tolist()
    for done, row in enumerate(rows, start=1):
        yield crops[row]
        if on_progress is not None:
            on_progress(done, len(rows))


def _check_no_nan(pixels: torch.Tensor) -> None:
    """Raise ImageError for the first crop [3, S, S] that holds NaN; a GPU is waited for once."""
    spoiled = [crop.isnan().any() for crop in pixels]
    if spoiled and torch.stack(spoiled).any():
        raise ImageError(
            f"Crop {[bool(one) for one in spoiled].index(True)} holds NaN; nothing was pasted. "
            "What made it overflowed, as a network in float16 may."
        )


def _check_crops(image: torch.Tensor, crops: Crops) -> None:
    found = (image.shape[0], image.shape[2], image.shape[3])
    if found != crops.alignment.image_size:
        raise MismatchError(
            "These crops were cut from a batch of {} images of {} × {} (H × W), found a batch of "
            "{} of {} × {}. Paste into the images in which the faces were detected; enlarged ones "
            "go into `background`.".format(*crops.alignment.image_size, *found)
        )


def check_options(
    image: torch.Tensor,
    detail: float | str,
    feather: float,
    background: torch.Tensor | None,
    limit: torch.Tensor | None,
    strength: float,
) -> None:
    """Raise MismatchError for what `paste` would refuse before it looks at a crop."""
    warp.check_image(image)
    found = (image.shape[0], image.shape[2], image.shape[3])
    if background is not None:
        warp.check_image(background, "background")
        if background.shape[0] != image.shape[0]:
            raise MismatchError(
                f"The background is a batch of {background.shape[0]}, the image of "
                f"{image.shape[0]}: give one enlarged image for each."
            )
        (height, width), (larger_height, larger_width) = found[1:], background.shape[2:]
        # Rounding an enlarged side may move it by up to a pixel.
        if abs(larger_height * width - larger_width * height) > height + width:
            raise MismatchError(
                f"The background of {larger_height} × {larger_width} (H × W) is not the image of "
                f"{height} × {width} enlarged: its proportions differ. Enlarge the image by one "
                "factor, without cropping or padding it."
            )
    if limit is not None:
        warp.check_image(limit, "limit", channels=1)
        if limit.shape[0] not in (1, found[0]) or tuple(limit.shape[2:]) != found[1:]:
            raise MismatchError(
                f"limit must be [1 or {found[0]}, 1, {found[1]}, {found[2]}] like the image, found "
                f"{list(limit.shape)}."
            )
    if not (detail == "auto" or (not isinstance(detail, str) and 0 <= detail <= 1)):
        raise MismatchError(f'detail must be 0 … 1 or "auto", found {detail!r}.')
    if not 0 < feather <= 0.5:
        raise MismatchError(f"feather must be above 0 and at most 0.5, found {feather}.")
    if not 0 <= strength <= 1:
        raise MismatchError(f"strength must lie in 0 … 1, found {strength}.")


def _patches(
    image: torch.Tensor,
    base: torch.Tensor,
    crops: Crops,
    row: int,
    detail: float | str,
    feather: float,
    limit: torch.Tensor | None,
    strength: float,
    device: torch.device,
) -> Iterator[Patch]:
    """Face `row` as it will stand in `base`; nothing where it lies outside."""
    alignment, size = crops.alignment, crops.size
    index = int(alignment.image_index[row])
    scale = (base.shape[3] / image.shape[3], base.shape[2] / image.shape[2])  # x, y
    to_base = warp.compose(warp.scaling(*scale), alignment.inverse_affine[row])
    to_cut = warp.compose(alignment.affine[row], warp.scaling(1 / scale[0], 1 / scale[1]))
    rectangle = _clipped(
        warp.bounding_rectangle(to_base, alignment.crop_size, alignment.crop_size), base
    )
    if rectangle.width < 1 or rectangle.height < 1:
        return
    dtype = warp.working_dtype(base)
    own = base[index : index + 1]
    pixels = crops.pixels[row : row + 1].to(device, dtype)
    share = detail
    if isinstance(share, str):
        share = detail_share(own, rectangle, scale, to_base, device)
    if share > 0:
        # Warping is linear: crop + share · (photograph − what the crop held), in one warp.
        held = warp.cut_crops(
            base, to_base[None], torch.tensor([index], device="cpu"), alignment.crop_size, device
        )
        pixels = pixels - share * warp.resize(held.to(device), size, size)
    resized = size / alignment.crop_size
    to_pixels = warp.compose(warp.scaling(resized, resized), to_cut)
    for band in _bands(rectangle):
        to_crop = warp.compose(to_pixels, warp.translation(*band.origin))
        values = warp.resample(pixels, to_crop, band.height, band.width)
        if share > 0:
            values = values + share * warp.cut_rectangle(own, band).to(device, dtype)
        values = values.clamp(0, 1)[0]
        if strength < 1:
            values = warp.cut_rectangle(own, band)[0].to(values).lerp(values, strength)
        weights = crop_mask(to_crop, band, size, feather, values)
        if limit is not None:
            weights = weights * limit_patch(limit, index, band, scale, device).to(weights)
        yield Patch(band, values, weights)


def _bands(rectangle: warp.Rectangle) -> Iterator[warp.Rectangle]:
    rows = max(1, PATCH_PIXELS // rectangle.width)
    for top in range(rectangle.top, rectangle.bottom, rows):
        yield rectangle._replace(top=top, bottom=min(top + rows, rectangle.bottom))


def _clipped(rectangle: warp.Rectangle, base: torch.Tensor) -> warp.Rectangle:
    return warp.Rectangle(
        max(rectangle.left, 0),
        max(rectangle.top, 0),
        min(rectangle.right, base.shape[3]),
        min(rectangle.bottom, base.shape[2]),
    )
