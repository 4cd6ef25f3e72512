"""Degrade sharp images on purpose, to compare a restoration with the original."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..gpen_core.degradation.degrade import degrade
from ..gpen_core.degradation.presets import PRESETS
from ..gpen_core.names import DEGRADATIONS
from . import host
from .ranges import in_range
from .sockets import CATEGORY, from_host_image, to_host_image


class DegradeImages(io.ComfyNode):
    """Blur, shrink, add noise, compress and enlarge again: random, but set by a seed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENDegrade",
            display_name="Degrade Images (GPEN)",
            category=CATEGORY,
            description="Degrades images at random, to test a restoration: blurs, shrinks, adds "
            "noise, compresses as JPEG and enlarges again to the original size.",
            search_aliases=["degrade image", "degradation", "blur", "add noise", "jpeg artifacts",
                            "low quality", "test pair"],
            inputs=[
                io.Image.Input("image", tooltip="Sharp photos or face crops of any size. Each "
                               "image of a batch is degraded differently."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                             control_after_generate=True,
                             tooltip="The same seed degrades the same images in the same way."),
                io.Combo.Input("preset", options=list(DEGRADATIONS), default="paper",
                               tooltip="paper: one round, as in the GPEN paper. second-order: two "
                               "rounds, like a picture that was sent and saved again. mixed: as in "
                               "training; one image in eight stays good, another is sharp but "
                               "noisy. traces: only the traces of a good JPEG."),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01,
                               tooltip="How far to go into the preset's ranges. 1: all the way. 0: "
                               "the image stays as it is."),
                io.Int.Input("face_size", default=256, min=0, max=16384, advanced=True,
                             tooltip="Side of a face in the image, in pixels. Blurs are scaled "
                             "with it. 0: the whole image is one face."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The degraded images. Size and alpha stay."),
            ],
        )  # fmt: skip

    @classmethod
    @in_range
    def execute(
        cls, image: torch.Tensor, seed: int, preset: str, strength: float, face_size: int
    ) -> io.NodeOutput:
        pixels, alpha = from_host_image(image)
        degradation = PRESETS[preset].weakened(strength)
        degraded = torch.empty_like(pixels)
        device, on_progress = host.prepare_device(), host.make_progress(len(pixels))
        for number, frame in enumerate(pixels):
            # One by one, since all frames of a video would not fit into memory. `first` gives each
            # frame the random draws that it would have in the whole batch.
            degraded[number] = degrade(
                frame[None].to(device),
                seed=seed,
                degradation=degradation,
                face_size=face_size or None,
                first=number,
            )[0]
            on_progress(number + 1, len(pixels))
        return io.NodeOutput(to_host_image(degraded, alpha))
