"""Paste face crops back where they were cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..gpen_core.faces import Crops
from ..gpen_core.names import MASK_KINDS
from ..gpen_core.pasting.options import parse_strengths
from ..gpen_core.pasting.parsing import parse_regions
from ..gpen_core.pasting.paste import paste
from ..gpen_core.warp import resize
from . import host
from .files import make_parser, stamp_parser
from .ranges import in_range
from .reports import describe_faces
from .sockets import (
    CATEGORY,
    REGIONS_TEXT,
    AlignedFaces,
    GPENFaces,
    from_host_crops,
    from_host_image,
    from_host_mask,
    make_grain,
    make_mask_inputs,
    make_ui,
    to_host_image,
    to_host_mask,
)

if TYPE_CHECKING:
    import torch

DETAIL = {"auto": "auto", "on": 1.0, "off": 0.0}


class PasteBack(io.ComfyNode):
    """Paste crops into the image from which they were cut."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENPasteBack",
            display_name="Paste Faces Back (GPEN)",
            category=CATEGORY,
            description="Pastes face crops back into the image from which they were cut. The crops "
            "may have any size. Pixels outside the faces stay exactly as they are.",
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            search_aliases=["paste face", "uncrop face", "face composite", "gpen"],
            inputs=[
                io.Image.Input("image", tooltip="The image that Detect Faces got."),
                GPENFaces.Input("faces", tooltip="The faces that the crops show."),
                io.Image.Input("crops", lazy=True, tooltip="One crop per face in the same order, "
                               "of any size. Not evaluated when there is no face."),
                io.Float.Input("feather", default=0.15, min=0.01, max=0.5, step=0.01,
                               tooltip="Width of the soft edge, as a fraction of the crop's side."),
                io.Combo.Input("detail", options=list(DETAIL), default="auto",
                               tooltip="Detail of the photo that is too fine for the crop. on: "
                               "keep it. off: drop it. auto: keep detail, drop noise and what "
                               "the model removed."),
                io.Mask.Input("mask", optional=True,
                              tooltip="Paste only where this mask is white. It must have the size "
                              "of the image."),
                io.Image.Input("background", optional=True,
                               tooltip="A larger or smaller version of the image, to paste into "
                               "instead. The result has its size."),
                io.Float.Input("strength", optional=True, default=1.0, min=0.0, max=1.0, step=0.01,
                               tooltip="How much of the crops to paste. 0: every pixel stays as it "
                               "is. 1: faces are replaced. The same as in Restore Image."),
                io.String.Input("strengths", optional=True, default="", placeholder="1, 0.5",
                                tooltip="One strength for each face, in the order of the faces, "
                                "such as 1, 0.5. Empty: strength holds for all."),
                *make_mask_inputs(),
                io.Mask.Input("crop_masks", optional=True,
                              tooltip="One mask per crop in the same order, of any size, such as "
                              "SAM draws on the crops. Only its white part is pasted, with a soft "
                              "edge."),
                make_grain(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with the crops pasted."),
                io.Mask.Output("mask", tooltip="Where crops were pasted."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_parser(inputs)

    @classmethod
    def check_lazy_status(
        cls, faces: AlignedFaces, crops: torch.Tensor | None = None, **_: object
    ) -> list[str]:
        # Most nodes fail on an empty batch. Without a face, those that make the crops do not run.
        return ["crops"] if crops is None and len(faces) else []

    @classmethod
    @in_range
    def execute(
        cls,
        image: torch.Tensor,
        faces: AlignedFaces,
        feather: float,
        detail: str,
        crops: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        background: torch.Tensor | None = None,
        strength: float = 1.0,
        strengths: str = "",
        mask_kind: str = MASK_KINDS[0],
        regions: str = REGIONS_TEXT,
        crop_masks: torch.Tensor | None = None,
        grain: float = 0.0,
    ) -> io.NodeOutput:
        pixels, alpha = from_host_image(image)
        faces.check_image(pixels)
        if crops is None:
            crops = faces.make_empty_crops()
        faces.check_crops(crops)
        faces.check_mask(mask)
        larger, larger_alpha = (None, None) if background is None else from_host_image(background)
        pasted = paste(
            pixels,
            Crops(from_host_crops(crops), faces.alignment),
            detail=DETAIL[detail],
            feather=feather,
            background=larger,
            limit=from_host_mask(mask),
            device=host.prepare_device(),
            strength=strength,
            strengths=parse_strengths(strengths),
            mask_kind=mask_kind,
            regions=parse_regions(regions),
            parser=make_parser(mask_kind),
            crop_masks=from_host_mask(crop_masks),
            grain=grain,
            on_progress=host.make_progress(len(faces)),
        )
        said = describe_faces("Pasted", faces.faces, missing="pasted")
        host.say(cls.hidden.unique_id, said)
        if alpha is not None:
            alpha = resize(alpha, *pasted.image.shape[-2:]).clamp(0, 1)
        return io.NodeOutput(
            to_host_image(pasted.image, alpha if larger_alpha is None else larger_alpha),
            to_host_mask(pasted.mask),
            ui=make_ui(said=said),
        )
