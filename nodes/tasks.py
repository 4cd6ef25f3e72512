"""Colourise faces, fill holes in them, paint them from maps: tasks that have GPENs of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..gpen_core.align import alignable, left_out_messages
from ..gpen_core.images import check_mask
from ..gpen_core.names import AUTO, COLORIZE, INPAINT, SEGMENT_TO_FACE
from ..gpen_core.runner import check_task, choose_template
from ..gpen_core.tasks.colour import colorize_detected
from ..gpen_core.tasks.holes import inpaint_detected
from ..gpen_core.tasks.segmentation import segment_to_face
from . import host
from .detections import find_faces
from .files import stamp_unconnected_detector
from .ranges import in_range
from .reports import count_faces, describe_faces
from .restore import PLANNED_BATCH, SEARCH_SHARE
from .searching import DEFAULTS
from .sockets import (
    CATEGORY,
    GPENDetector,
    GPENModel,
    from_host_crops,
    from_host_image,
    from_host_mask,
    make_ui,
    to_host_image,
    to_host_mask,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..gpen_core.detectors import Detector
    from ..gpen_core.faces import Faces
    from ..gpen_core.pasting import Pasted
    from ..gpen_core.progress import OnProgress
    from .hosted import HostedGPEN

    Work = Callable[[Faces, OnProgress], Pasted]

REFUSE, NEAREST = "refuse", "nearest"


def _find_and_work(
    model: HostedGPEN,
    pixels: torch.Tensor,
    detector: Detector | None,
    done: str,
    node_id: str | None,
    work: Work,
) -> tuple[Pasted, str]:
    """Find the faces of images, do the task with them, and say what was done."""
    searching, working = host.make_stages(SEARCH_SHARE, 1 - SEARCH_SHARE)
    model.load(PLANNED_BATCH)
    found, _ = find_faces(detector, pixels, None, DEFAULTS, searching, refine=False)
    fit = alignable(found, template=choose_template(AUTO, model.config))
    warnings = left_out_messages(found[~fit])
    if warnings:
        host.warn(node_id, "\n".join(warnings))
    faces = found[fit]
    pasted = work(faces, working)
    working(1, 1)
    said = "\n".join([describe_faces(done, faces), *warnings])
    host.say(node_id, said)
    return pasted, said


class ColorizeFaces(io.ComfyNode):
    """Give the faces of grey photographs colour."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENColorizeFaces",
            display_name="Colorize Faces (GPEN)",
            category=CATEGORY,
            description="Colours the faces of grey and sepia photographs with "
            "GPEN-Colorization-1024. The brightness of every pixel stays. Only faces get colour: "
            "colour the whole image with another node before.",
            search_aliases=["colorize", "colourise", "face color", "gpen", "black and white"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Grey or sepia photos or video frames."),
                GPENModel.Input("model", tooltip="GPEN-Colorization-1024 from Load GPEN, or a "
                                "model of your own for this task."),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01,
                               tooltip="How much of the new colour to use. 0: every pixel stays as "
                               "it is."),
                GPENDetector.Input("detector", optional=True,
                                   tooltip="From Load Face Detector. Not connected: chosen "
                                   "automatically."),
                io.Mask.Input("spread", optional=True,
                              tooltip="Spreads the colours of each face's whole crop over this "
                              "mask, such as one of the people, so that the crop's border does "
                              "not show. Not connected: a soft square around each face."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with its faces coloured."),
                io.Mask.Output("mask", tooltip="Where the colour is new."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs)

    @classmethod
    @in_range
    def execute(
        cls,
        image: torch.Tensor,
        model: HostedGPEN,
        strength: float,
        detector: Detector | None = None,
        spread: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        check_task(model, COLORIZE)
        pixels, alpha = from_host_image(image)
        mask = from_host_mask(spread)
        if mask is not None:
            check_mask(mask, pixels, "spread")  # before a long search

        def work(faces: Faces, on_progress: OnProgress) -> Pasted:
            return colorize_detected(
                model, pixels, faces, strength=strength, spread=mask, on_progress=on_progress
            )

        pasted, said = _find_and_work(
            model, pixels, detector, "Coloured", cls.hidden.unique_id, work
        )
        return io.NodeOutput(
            to_host_image(pasted.image, alpha), to_host_mask(pasted.mask), ui=make_ui(said=said)
        )


class InpaintFaces(io.ComfyNode):
    """Fill holes in faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENInpaintFaces",
            display_name="Inpaint Faces (GPEN)",
            category=CATEGORY,
            description="Fills holes in faces with GPEN-Inpainting-1024. Pixels outside the holes "
            "stay exactly as they are.",
            search_aliases=["inpaint", "fill face", "scratch removal", "gpen", "repair photo"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Photos or video frames."),
                GPENModel.Input("model", tooltip="GPEN-Inpainting-1024 from Load GPEN, or a model "
                                "of your own for this task."),
                io.Mask.Input("mask", tooltip="White is a hole. Load Image gives the transparent "
                              "pixels, and those painted in its mask editor."),
                GPENDetector.Input("detector", optional=True,
                                   tooltip="From Load Face Detector. Not connected: chosen "
                                   "automatically."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with the holes in its faces filled."),
                io.Mask.Output("mask", tooltip="Where pixels are new. Holes outside the faces "
                               "stay."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs)

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        model: HostedGPEN,
        mask: torch.Tensor,
        detector: Detector | None = None,
    ) -> io.NodeOutput:
        check_task(model, INPAINT)
        pixels, alpha = from_host_image(image)
        holes = mask.detach().reshape(-1, 1, *mask.shape[-2:]).float().clamp(0, 1)
        check_mask(holes, pixels, "mask")  # before a long search

        def work(faces: Faces, on_progress: OnProgress) -> Pasted:
            return inpaint_detected(model, pixels, faces, holes, on_progress=on_progress)

        pasted, said = _find_and_work(
            model, pixels, detector, "Looked for holes in", cls.hidden.unique_id, work
        )
        return io.NodeOutput(
            to_host_image(pasted.image, alpha), to_host_mask(pasted.mask), ui=make_ui(said=said)
        )


class FacesFromSegmentation(io.ComfyNode):
    """Paint faces from maps of their parts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENFacesFromSegmentation",
            display_name="Faces from Segmentation (GPEN)",
            category=CATEGORY,
            description="Paints a face from each segmentation map with GPEN-Seg2face-512. The "
            "colours of a map name the parts of a face.",
            search_aliases=["segmentation to face", "seg2face", "semantic", "gpen", "face parsing"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("maps", tooltip="Square maps in the 19 colours of the help page. "
                               "They are resized without mixing colours."),
                GPENModel.Input("model", tooltip="GPEN-Seg2face-512 from Load GPEN, or a model of "
                                "your own for this task."),
                io.Combo.Input("other_colors", options=[REFUSE, NEAREST], default=REFUSE,
                               tooltip="What to do with other colours. refuse: stop and name them. "
                               "nearest: take the nearest colour of the palette."),
            ],
            outputs=[
                io.Image.Output("faces", tooltip="A face for each map, of the model's size."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, maps: torch.Tensor, model: HostedGPEN, other_colors: str) -> io.NodeOutput:
        check_task(model, SEGMENT_TO_FACE)
        pixels = from_host_crops(maps)
        messages: list[str] = []
        if len(pixels):
            model.load(min(len(pixels), PLANNED_BATCH))
        painted = segment_to_face(
            model,
            pixels,
            nearest=other_colors == NEAREST,
            on_progress=host.make_progress(len(pixels)),
            on_replaced=messages.append,
        )
        for message in messages:
            host.warn(cls.hidden.unique_id, message)
        said = "\n".join([f"Painted {count_faces(len(pixels))}.", *messages])
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(to_host_image(painted), ui=make_ui(said=said))
