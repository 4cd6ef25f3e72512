"""Cut crops of faces that were found before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..gpen_core.align import cut
from ..gpen_core.faces import LARGEST_CROP_FACTOR
from ..gpen_core.pasting.masks import draw_ovals
from . import host
from .ranges import in_range
from .sockets import (
    CATEGORY,
    CROP_SIZES,
    AlignedFaces,
    GPENFaces,
    from_host_image,
    to_host_image,
    to_host_mask,
)

if TYPE_CHECKING:
    import torch

    from ..gpen_core.faces import Alignment

AS_DETECTED = "as detected"
OTHER_SHAPE = 0.05
"""How much the ratio of an image's sides may differ: depth maps have sides of whole tiles."""


def make_crop_factor() -> Any:
    """Return the widget of what a crop shows, the same for all nodes that cut."""
    return io.Float.Input("crop_factor", optional=True, default=1.0, min=1.0,
                          max=LARGEST_CROP_FACTOR, step=0.1, advanced=True,
                          tooltip="Sides of the crops as a multiple of the template's. Above 1, "
                          "crops show more around the face, which helps diffusion. Paste Faces "
                          "Back pastes the same part of the face. 1: what GPEN wants.")  # fmt: skip


def make_masks_output() -> Any:
    """Return the output of the crops' masks, the same for all nodes that cut."""
    return io.Mask.Output("crop_masks", tooltip="One mask per crop: the face's oval, to inpaint "
                          "or for crop_masks of Paste Faces Back.")  # fmt: skip


def make_crop_masks(faces: AlignedFaces) -> torch.Tensor:
    """Draw the masks of the crops in the host's layout, [N, S, S]."""
    return to_host_mask(draw_ovals(faces.alignment))


class CropFaces(io.ComfyNode):
    """Cut crops of faces that were found before."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENCropFaces",
            display_name="Crop Faces (GPEN)",
            category=CATEGORY,
            description="Cuts crops of faces that were found before: of the remaining faces of "
            "Select Faces, or at another size.",
            search_aliases=["crop face", "face crop", "align face"],
            inputs=[
                io.Image.Input("image", tooltip="The image that Detect Faces got, or one of the "
                               "same scene, such as its depth map or an enlarged version."),
                GPENFaces.Input("faces", tooltip="The faces to cut."),
                io.Combo.Input("size", options=[AS_DETECTED, *CROP_SIZES], default=AS_DETECTED,
                               tooltip=f"Side of the crops in pixels. {AS_DETECTED}: the size that "
                               "Detect Faces used."),
                make_crop_factor(),
            ],
            outputs=[
                GPENFaces.Output("faces", tooltip="The same faces, for crops of this size."),
                io.Image.Output("crops", tooltip="One aligned crop per face, in the same order."),
                make_masks_output(),
            ],
        )  # fmt: skip

    @classmethod
    @in_range
    def execute(
        cls, image: torch.Tensor, faces: AlignedFaces, size: str, crop_factor: float = 1.0
    ) -> io.NodeOutput:
        pixels, _ = from_host_image(image)
        alignment = faces.alignment.with_crop_factor(crop_factor)
        if size != AS_DETECTED:
            alignment = alignment.at_size(int(size))
        cropped = AlignedFaces(faces.faces, alignment)
        crops = cut(
            pixels,
            _place_in(pixels, cropped),
            device=host.prepare_device(),
            on_progress=host.make_progress(len(faces)),
        )
        return io.NodeOutput(cropped, to_host_image(crops.pixels), make_crop_masks(cropped))


def _place_in(pixels: torch.Tensor, faces: AlignedFaces) -> Alignment:
    """Return where the faces lie in `pixels` [B, 3, H, W], a version of their images.

    Raises:
        MismatchError: the number of images differs, or their shape by more than `OTHER_SHAPE`.
    """
    images, height, width = faces.faces.image_size
    count, high, wide = pixels.shape[0], *pixels.shape[2:]
    if count != images or abs((wide / high) / (width / height) - 1) > OTHER_SHAPE:
        faces.check_image(pixels)
    return faces.alignment.of_image_size(high, wide)
