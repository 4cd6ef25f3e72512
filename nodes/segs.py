"""SEGS, the Impact Pack's value for regions of an image: from it and to it, without that pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from comfy_api.latest import io

from ..gpen_core.errors import MismatchError
from ..gpen_core.pasting.masks import oval_mask
from ..gpen_core.pasting.options import FEATHER
from ..gpen_core.pasting.placement import place

if TYPE_CHECKING:
    from .sockets import AlignedFaces

Segs = io.Custom("SEGS")


class SEG(NamedTuple):
    """One region. The pack and its relatives read these seven fields by name.

    Attributes:
        cropped_image: the pixels, or None: they are cut from the image when they are needed.
        cropped_mask: [h, w] float32 numpy array in [0, 1], as large as the crop region.
        confidence: the detector's score.
        crop_region: x0, y0, x1, y1, whole pixels of the image.
        bbox: x0, y0, x1, y1 of what was found.
        label: its name.
        control_net_wrapper: None.
    """

    cropped_image: Any
    cropped_mask: Any
    confidence: float
    crop_region: list[int]
    bbox: list[float]
    label: str
    control_net_wrapper: Any = None


def to_host_segs(faces: AlignedFaces, image: torch.Tensor) -> tuple[tuple[int, int], list[SEG]]:
    """Convert the faces of the first image to a SEGS value; it speaks of one image only.

    Args:
        faces: of a batch of images.
        image: [B, 3, H, W] that batch.

    Returns:
        (H, W) and a region for each face: where its crop lies, with the face's oval as its mask.
    """
    segs = []
    for row in (faces.faces.image_index == 0).nonzero()[:, 0].tolist():
        alignment = faces.alignment
        placement = place(alignment, row, alignment.crop_size, image, torch.device("cpu"))
        region = placement.rectangle
        if min(region.width, region.height) < 1:
            continue  # its crop shows nothing of the image
        like = torch.zeros((), dtype=torch.float32, device="cpu")
        mask = oval_mask(placement, region, FEATHER, like)[0].numpy()
        box, score = faces.faces.boxes[row].tolist(), float(faces.faces.scores[row])
        segs.append(SEG(None, mask, score, [*region], box, "face"))
    return tuple(image.shape[2:]), segs


def from_host_segs(segs: Any, image: torch.Tensor) -> list[dict[str, float]]:
    """Convert a SEGS value to boxes of a BOUNDING_BOX value, the same for all images.

    Raises:
        MismatchError: it was made for an image of another size, or is no SEGS value.
    """
    try:
        (height, width), regions = segs
        boxes = [[float(side) for side in region.bbox] for region in regions]
        corners = [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes]
    except (TypeError, ValueError, AttributeError) as error:
        raise MismatchError(
            "A SEGS value must be ((height, width), regions), each region with a bbox of four "
            f"numbers; found {segs!r:.200}."
        ) from error
    if (height, width) != tuple(image.shape[2:]):
        raise MismatchError(
            f"The SEGS were found in an image of {width}×{height}, but this image is "
            f"{image.shape[3]}×{image.shape[2]}. Find them in the image that is connected to "
            "Detect Faces."
        )
    return [{"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0} for x0, y0, x1, y1 in corners]
