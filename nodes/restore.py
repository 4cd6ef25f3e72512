"""Restore face crops, or a whole image at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from . import host
from .files import make_detector, stamp_unconnected_detector
from .sockets import (
    CATEGORY,
    PREVIEW_IMAGES,
    GPENDetector,
    GPENModel,
    crops_in,
    image_in,
    image_out,
    mask_out,
    preview_out,
)

if TYPE_CHECKING:
    import torch

    from ..gpen_core.detectors import Detector
    from ..gpen_core.faces import Faces

STRENGTH = io.Float.Input(
    "strength",
    default=1.0,
    min=0.0,
    max=1.0,
    step=0.01,
    tooltip="How much of the restored face to take: 0 leaves the face as it is, 1 replaces it.",
)

ROOM_FOR = 8
"""Faces per pass that other models are moved out of memory for; more run together if they fit."""

PREVIEW_SIDE = 512
"""Pixels a side that a crop is shown with at most, where it is larger."""


class RestoreFaces(io.ComfyNode):
    """Run GPEN on face crops."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreFaces",
            display_name="Restore Faces (GPEN)",
            category=CATEGORY,
            description="Restores aligned face crops with GPEN, at the size of the model.",
            search_aliases=["face restore", "face enhance", "gpen", "upscale face", "fix face"],
            has_intermediate_output=True,
            inputs=[
                GPENModel.Input("model", tooltip="From Load GPEN."),
                io.Image.Input("crops", tooltip="Face crops from Detect Faces or Crop Faces. "
                               "Other sizes than the model's are resized first."),
                STRENGTH,
                io.Int.Input("batch_size", default=0, min=0, max=256, advanced=True,
                             tooltip="Faces per pass through the network. 0: as many as fit. When "
                             "memory runs out it is halved until they do."),
            ],
            outputs=[
                io.Image.Output("restored", tooltip="The restored crops, at the size of the model, "
                                "in the same order."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: host.HostedGPEN, crops: torch.Tensor, strength: float, batch_size: int
    ) -> io.NodeOutput:
        from ..gpen_core.restore import restore_pixels

        pixels = crops_in(crops)
        # Before the batch size is chosen: other models may have to leave first.
        if len(pixels):
            model.load(min(len(pixels), batch_size or ROOM_FOR))
        restored = restore_pixels(
            model,
            pixels,
            strength=strength,
            batch_size=batch_size or None,
            on_progress=host.make_progress(len(pixels)),
        )
        return io.NodeOutput(image_out(restored), ui=preview_out(_shown(restored)))


def _shown(crops: torch.Tensor) -> torch.Tensor:
    """The first crops as small as they are shown."""
    from ..gpen_core.warp import resize

    side = min(PREVIEW_SIDE, crops.shape[-1])
    return resize(crops[:PREVIEW_IMAGES], side, side).clamp(0, 1)


class RestoreImage(io.ComfyNode):
    """Detect, restore and paste back in one node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreImage",
            display_name="Restore Image (GPEN)",
            category=CATEGORY,
            description="Finds every face, restores it with GPEN and puts it back. Images without "
            "a face, and everything outside the faces, come back unchanged.",
            search_aliases=["face restore", "face enhance", "gpen", "upscale face", "fix face",
                            "restore photo"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Photos or video frames."),
                GPENModel.Input("model", tooltip="From Load GPEN."),
                STRENGTH,
                GPENDetector.Input("detector", optional=True, tooltip="From Load Face Detector; "
                                   "chosen automatically when nothing is connected."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with its faces restored."),
                io.Mask.Output("mask", tooltip="Where faces were pasted."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs)

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        model: host.HostedGPEN,
        strength: float,
        detector: Detector | None = None,
    ) -> io.NodeOutput:
        from ..gpen_core.align import left_out_messages
        from ..gpen_core.pipeline import restore_image

        def on_left_out(faces: Faces) -> None:
            host.warn(cls.hidden.unique_id, "\n".join(left_out_messages(faces)))

        pixels, alpha = image_in(image)
        model.load(ROOM_FOR)
        result = restore_image(
            model,
            detector or make_detector(),
            pixels,
            strength=strength,
            on_search=host.make_progress(len(pixels)),
            on_progress=host.make_progress(len(pixels)),
            on_left_out=on_left_out,
        )
        return io.NodeOutput(image_out(result.image, alpha), mask_out(result.mask))
