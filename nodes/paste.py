"""Put face crops back where they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from . import host
from .sockets import (
    CATEGORY,
    AlignedFaces,
    GPENFaces,
    crops_in,
    image_in,
    image_out,
    mask_in,
    mask_out,
)

if TYPE_CHECKING:
    import torch

DETAIL = {"auto": "auto", "on": 1.0, "off": 0.0}


class PasteBack(io.ComfyNode):
    """Paste crops into the image they were cut from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENPasteBack",
            display_name="Paste Faces Back (GPEN)",
            category=CATEGORY,
            description="Puts face crops back into the image they were cut from. Pixels outside "
            "the faces stay exactly as they are; crops of any size fit.",
            search_aliases=["paste face", "uncrop face", "face composite", "gpen"],
            inputs=[
                io.Image.Input("image", tooltip="The image that went into Detect Faces."),
                GPENFaces.Input("faces", tooltip="The faces that the crops show."),
                io.Image.Input("crops", lazy=True, tooltip="One crop per face in the same order, "
                               "at any size. Not asked for when there is no face."),
                io.Float.Input("feather", default=0.15, min=0.01, max=0.5, step=0.01,
                               tooltip="Width of the soft edge, as a part of the crop's side."),
                io.Combo.Input("detail", options=list(DETAIL), default="auto",
                               tooltip="The photo's own detail that is finer than the crop can "
                               "hold. auto: kept where it is clean, left out where it is noise."),
                io.Mask.Input("mask", optional=True,
                              tooltip="Paste only where this mask is white."),
                io.Image.Input("background", optional=True,
                               tooltip="An upscaled version of the image to paste into instead; "
                               "the result has its size."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with the crops pasted."),
                io.Mask.Output("mask", tooltip="Where they were pasted."),
            ],
        )  # fmt: skip

    @classmethod
    def check_lazy_status(
        cls, faces: AlignedFaces, crops: torch.Tensor | None = None, **_: object
    ) -> list[str]:
        # Without a face there are no crops, and most nodes fail on an empty batch: never run them.
        return ["crops"] if crops is None and len(faces) else []

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        faces: AlignedFaces,
        feather: float,
        detail: str,
        crops: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        background: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from ..gpen_core.faces import Crops
        from ..gpen_core.pasting.paste import paste
        from ..gpen_core.warp import resize

        pixels, alpha = image_in(image)
        faces.check_image(pixels)
        if crops is None:
            crops = faces.no_crops()
        faces.check_crops(crops)
        faces.check_mask(mask)
        larger, larger_alpha = (None, None) if background is None else image_in(background)
        pasted = paste(
            pixels,
            Crops(crops_in(crops), faces.alignment),
            detail=DETAIL[detail],
            feather=feather,
            background=larger,
            limit=mask_in(mask),
            device=host.prepare_device(),
            on_progress=host.make_progress(len(faces)),
        )
        if alpha is not None:
            alpha = resize(alpha, *pasted.image.shape[-2:]).clamp(0, 1)
        return io.NodeOutput(
            image_out(pasted.image, alpha if larger_alpha is None else larger_alpha),
            mask_out(pasted.mask),
        )
