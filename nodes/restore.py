"""Restore face crops, or all faces of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..gpen_core.align import alignable, left_out_messages
from ..gpen_core.detectors.refining import chooses_refining
from ..gpen_core.names import AUTO, MASK_KINDS, REFINE, RESTORE, TURNS
from ..gpen_core.pasting.options import PasteOptions
from ..gpen_core.pasting.parsing import parse_regions
from ..gpen_core.pipeline import restore_detected
from ..gpen_core.restore import restore_pixels
from ..gpen_core.runner import check_task, choose_template
from ..gpen_core.warp import resize
from . import host
from .detections import find_faces
from .files import make_parser, stamp_parser, stamp_unconnected_detector
from .ranges import in_range
from .reports import count_faces, describe_faces
from .sockets import (
    CATEGORY,
    PREVIEW_IMAGES,
    REGIONS_TEXT,
    GPENDetector,
    GPENModel,
    from_host_crops,
    from_host_image,
    make_mask_inputs,
    make_ui,
    to_host_image,
    to_host_mask,
)

if TYPE_CHECKING:
    import torch

    from ..gpen_core.detectors import Detector


def _make_strength(tooltip: str) -> io.Float.Input:
    return io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


PLANNED_BATCH = 8
"""Faces per pass for which the host frees memory beforehand. If more fit, more run together."""

DEFAULTS = {"threshold": None, "min_size": 0, "min_face": 0, "turns": TURNS[0]}
"""Those of Detect Faces' widgets, so that both nodes share what was found."""

SEARCH_SHARE = 0.5
"""The part of Restore Image's bar that the search takes. Models differ too much to know it."""

PREVIEW_SIDE = 512
"""Side in pixels to which larger crops are shrunk for the preview."""


class RestoreFaces(io.ComfyNode):
    """Run GPEN on face crops."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreFaces",
            display_name="Restore Faces (GPEN)",
            category=CATEGORY,
            description="Restores aligned face crops with GPEN. The results have the model's "
            "output size.",
            search_aliases=["face restore", "face enhance", "gpen", "upscale face", "fix face"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                GPENModel.Input("model", tooltip="From Load GPEN or Load Face Restorer."),
                io.Image.Input("crops", tooltip="Face crops from Detect Faces or Crop Faces. Crops "
                               "of another size than the model's are resized first."),
                _make_strength("Blends the restored crop with the given one, which is coarser than "
                               "the photo: even 0 changes large faces a little. To weaken the "
                               "result, set strength at Paste Faces Back."),
                io.Int.Input("batch_size", default=0, min=0, max=256, advanced=True,
                             tooltip="Faces per pass through the network. 0: as many as fit into "
                             "the GPU's memory; one on a CPU. When memory runs out, the number is "
                             "halved."),
            ],
            outputs=[
                io.Image.Output("restored", tooltip="The restored crops, in the same order."),
            ],
        )  # fmt: skip

    @classmethod
    @in_range
    def execute(
        cls, model: host.HostedGPEN, crops: torch.Tensor, strength: float, batch_size: int
    ) -> io.NodeOutput:
        check_task(model, RESTORE)
        pixels = from_host_crops(crops)
        # Loading moves other models out. The batch size depends on the memory that is free then.
        if len(pixels):
            model.load(min(len(pixels), batch_size or PLANNED_BATCH))
        restored = restore_pixels(
            model,
            pixels,
            strength=strength,
            batch_size=batch_size or None,
            on_progress=host.make_progress(len(pixels)),
        )
        said = f"Restored {count_faces(len(pixels))}."
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(to_host_image(restored), ui=make_ui(_shrink(restored), said))


def _shrink(crops: torch.Tensor) -> torch.Tensor:
    """Shrink the first crops to the side of the preview."""
    side = min(PREVIEW_SIDE, crops.shape[-1])
    return resize(crops[:PREVIEW_IMAGES], side, side).clamp(0, 1)


class RestoreImage(io.ComfyNode):
    """Detect faces, restore them and paste them back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreImage",
            display_name="Restore Image (GPEN)",
            category=CATEGORY,
            description="Finds every face, restores it with GPEN and pastes it back. Images "
            "without a face and pixels outside the faces stay exactly as they are.",
            search_aliases=["face restore", "face enhance", "gpen", "upscale face", "fix face",
                            "restore photo"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Photos or video frames."),
                GPENModel.Input("model", tooltip="From Load GPEN or Load Face Restorer."),
                _make_strength("How much of the restored faces to use. 0: every pixel stays as it "
                               "is. 1: faces are replaced."),
                GPENDetector.Input("detector", optional=True,
                                   tooltip="From Load Face Detector. Not connected: chosen "
                                   "automatically."),
                *make_mask_inputs(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with its faces restored."),
                io.Mask.Output("mask", tooltip="Where faces were pasted."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs) + stamp_parser(inputs)

    @classmethod
    @in_range
    def execute(
        cls,
        image: torch.Tensor,
        model: host.HostedGPEN,
        strength: float,
        detector: Detector | None = None,
        mask_kind: str = MASK_KINDS[0],
        regions: str = REGIONS_TEXT,
    ) -> io.NodeOutput:
        check_task(model, RESTORE)
        pixels, alpha = from_host_image(image)
        options = PasteOptions(
            strength=strength,
            mask_kind=mask_kind,
            regions=parse_regions(regions),
            parser=make_parser(mask_kind),
        )
        options.check(pixels)  # before a long search
        searching, restoring = host.make_stages(SEARCH_SHARE, 1 - SEARCH_SHARE)
        model.load(PLANNED_BATCH)
        refine = chooses_refining(REFINE[0], model.config.in_size)
        found, _ = find_faces(detector, pixels, None, DEFAULTS, searching, refine=refine)
        fit = alignable(found, template=choose_template(AUTO, model.config))
        warnings = left_out_messages(found[~fit])
        if warnings:
            host.warn(cls.hidden.unique_id, "\n".join(warnings))
        faces = found[fit]
        result = restore_detected(model, pixels, faces, options, on_progress=restoring)
        restoring(1, 1)
        said = "\n".join([describe_faces("Restored", faces), *warnings])
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(
            to_host_image(result.image, alpha), to_host_mask(result.mask), ui=make_ui(said=said)
        )
