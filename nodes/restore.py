"""Restore face crops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..gpen_core.names import COLOURS, RESTORE
from ..gpen_core.restore import restore_pixels
from ..gpen_core.runner import check_task
from ..gpen_core.warp import resize
from . import host
from .ranges import in_range
from .reports import count_faces
from .sockets import (
    CATEGORY,
    PREVIEW_IMAGES,
    GPENModel,
    from_host_crops,
    make_ui,
    to_host_image,
)

if TYPE_CHECKING:
    import torch

    from .hosted import HostedGPEN


def make_strength(tooltip: str) -> io.Float.Input:
    """Return the widget `strength`, the same for all nodes that restore."""
    return io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


SAVED_COLOUR = COLOURS[1]
"""What graphs saved before the widget was there get: their pixels stay the same."""


def make_colour() -> io.Combo.Input:
    """Return the widget `colour`, the same for all nodes that restore."""
    return io.Combo.Input(
        "colour", options=list(COLOURS), default=SAVED_COLOUR, optional=True, advanced=True,
        tooltip="match: the colours of the photo, for models that tint faces. grey: the model's "
        "colours, but a grey face stays grey. keep: the model's colours.",
    )  # fmt: skip


PLANNED_BATCH = 8
"""Faces per pass for which the host frees memory beforehand. If more fit, more run together."""

SEARCH_SHARE = 0.5
"""The part of Restore Image's bar that the search takes. Models differ too much to know it."""

PREVIEW_SIDE = 512
"""Side in pixels to which larger crops are shrunk for the preview."""


def make_leave_clean() -> io.Boolean.Input:
    """Return the switch that leaves clean faces alone, off in saved graphs."""
    return io.Boolean.Input(
        "leave_clean", optional=True, default=False, advanced=True,
        tooltip="Leave faces as they are that the model hardly changes, because they are clean. "
        "Off: every face is restored.",
    )  # fmt: skip


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
                make_strength("Blends the restored crop with the given one, which is coarser than "
                               "the photo: even 0 changes large faces a little. To weaken the "
                               "result, set strength at Paste Faces Back."),
                io.Int.Input("batch_size", default=0, min=0, max=256, advanced=True,
                             tooltip="Faces per pass through the network. 0: as many as fit into "
                             "the GPU's memory; one on a CPU. When memory runs out, the number is "
                             "halved."),
                make_colour(),
                make_leave_clean(),
            ],
            outputs=[
                io.Image.Output("restored", tooltip="The restored crops, in the same order."),
            ],
        )  # fmt: skip

    @classmethod
    @in_range
    def execute(
        cls,
        model: HostedGPEN,
        crops: torch.Tensor,
        strength: float,
        batch_size: int,
        colour: str = SAVED_COLOUR,
        leave_clean: bool = False,
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
            colour=colour,
            leave_clean=leave_clean,
        )
        said = f"Restored {count_faces(len(pixels))}."
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(to_host_image(restored), ui=make_ui(_shrink(restored), said))


def _shrink(crops: torch.Tensor) -> torch.Tensor:
    """Shrink the first crops to the side of the preview."""
    side = min(PREVIEW_SIDE, crops.shape[-1])
    return resize(crops[:PREVIEW_IMAGES], side, side).clamp(0, 1)
