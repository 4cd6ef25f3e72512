"""Make images worse on purpose, to have something to restore and to compare with."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..gpen_core.degradation.degrade import degrade
from ..gpen_core.degradation.presets import PRESETS
from ..gpen_core.names import DEGRADATIONS
from . import host
from .sockets import CATEGORY, image_in, image_out


class DegradeImages(io.ComfyNode):
    """Blur, shrink, add noise, compress and enlarge again, at random but reproducibly."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENDegrade",
            display_name="Degrade Images (GPEN)",
            category=CATEGORY,
            description="Blurs, shrinks, adds noise, compresses as JPEG and enlarges again, at "
            "random: makes pairs to test a restoration with. The size stays.",
            search_aliases=["degrade image", "degradation", "blur", "add noise", "jpeg artifacts",
                            "low quality", "test pair"],
            inputs=[
                io.Image.Input("image", tooltip="Sharp photos or face crops of any size. Each "
                               "image of a batch is degraded in its own way."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                             control_after_generate=True,
                             tooltip="The same seed degrades the same images in the same way."),
                io.Combo.Input("preset", options=list(DEGRADATIONS), default="paper",
                               tooltip="paper: as in the GPEN paper, once. second-order: twice in "
                               "a row, as pictures that were sent and saved again. mixed: what "
                               "training sees, one in eight good, another sharp but noisy. "
                               "traces: a good JPEG's."),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01,
                               tooltip="How far into the preset's ranges to go: 1 all the way, 0 "
                               "leaves the image as it is."),
                io.Int.Input("face_size", default=256, min=0, max=16384, advanced=True,
                             tooltip="Side in pixels of a face in the image, by which blurs are "
                             "scaled. 0: the image is one face."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The degraded images, at their size, with their "
                                "alpha."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, image: torch.Tensor, seed: int, preset: str, strength: float, face_size: int
    ) -> io.NodeOutput:
        pixels, alpha = image_in(image)
        degradation = PRESETS[preset].weakened(strength)
        degraded = torch.empty_like(pixels)
        device, on_progress = host.prepare_device(), host.make_progress(len(pixels))
        for number, frame in enumerate(pixels):
            # One by one, since a video's frames together would not fit; `first` keeps the draws.
            degraded[number] = degrade(
                frame[None].to(device),
                seed=seed,
                degradation=degradation,
                face_size=face_size or None,
                first=number,
            )[0]
            on_progress(number + 1, len(pixels))
        return io.NodeOutput(image_out(degraded, alpha))
