"""Find faces and cut their crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io

from ..gpen_core.align import align, alignable, left_out_messages
from ..gpen_core.detectors.merging import filter_faces
from ..gpen_core.detectors.refining import chooses_refining
from ..gpen_core.detectors.regions import keep_in_boxes
from ..gpen_core.names import AUTO, TEMPLATES
from ..gpen_core.preview import draw_previews, locate_in_previews
from ..gpen_core.runner import choose_template
from . import host
from .clickable import describe_places
from .crop import make_crop_factor, make_crop_masks, make_masks_output
from .detections import find_faces
from .files import stamp_unconnected_detector
from .ranges import in_range
from .reports import describe_faces
from .searching import SAVED_REFINE, SAVED_TURNS, make_search_inputs
from .segs import Segs, from_host_segs, to_host_segs
from .sockets import (
    CATEGORY,
    CROP_SIZES,
    FROM_MODEL,
    PREVIEW_IMAGES,
    AlignedFaces,
    FaceLandmarks,
    GPENDetector,
    GPENFaces,
    GPENModel,
    from_host_boxes,
    from_host_image,
    from_host_landmarks,
    make_ui,
    to_host_boxes,
    to_host_image,
)

if TYPE_CHECKING:
    from ..gpen_core.detectors import Detector
    from ..gpen_core.detectors.regions import Missed
    from ..gpen_core.faces import Faces
    from .hosted import HostedGPEN

DEFAULT_CROP_SIZE = 512
SEARCH_SHARE = 0.9
"""The part of the bar that the search takes; cutting is quick."""


class DetectFaces(io.ComfyNode):
    """Find faces and cut aligned crops of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENDetectFaces",
            display_name="Detect Faces (GPEN)",
            category=CATEGORY,
            description="Finds the faces in an image or in video frames and cuts an upright, "
            "aligned crop of each. The crops are ordinary images.",
            search_aliases=["detect face", "face crop", "face align", "face detection", "gpen"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Photos or video frames."),
                io.Float.Input("threshold", default=0.0, min=0.0, max=1.0, step=0.01,
                               tooltip="Lowest score of a face, 0 to 1. A lower value finds more "
                               "faces, and more that are none. 0: the detector's default."),
                io.Int.Input("min_size", default=0, min=0, max=16384,
                             tooltip="Smallest face to keep, in pixels: the shorter side of its "
                             "box. 0: no minimum."),
                io.Int.Input("max_faces", default=0, min=0, max=1000,
                             tooltip="Keep at most this many faces per image, the largest. 0: no "
                             "maximum."),
                io.Combo.Input("crop_size", options=[FROM_MODEL, *CROP_SIZES], default=FROM_MODEL,
                               tooltip=f"Side of the crops in pixels. {FROM_MODEL}: the size that "
                               f"the connected model takes, or {DEFAULT_CROP_SIZE} without one."),
                io.Combo.Input("template", options=[*TEMPLATES, FROM_MODEL], default=FROM_MODEL,
                               advanced=True,
                               tooltip="Place and size of the face in the crop. gpen: as GPEN was "
                               "trained. ffhq: the face is 1.12 times larger, as most other models "
                               f"expect it. {FROM_MODEL}: as the connected model was trained, or "
                               "gpen without one."),
                GPENModel.Input("model", optional=True,
                                tooltip="Sets the crop size and the template where they are "
                                f"{FROM_MODEL}."),
                GPENDetector.Input("detector", optional=True,
                                   tooltip="From Load Face Detector. Not connected: chosen "
                                   "automatically."),
                FaceLandmarks.Input("landmarks", optional=True,
                                    tooltip="Take the faces from Detect Face Landmarks (MediaPipe) "
                                    "and run no detector."),
                io.BoundingBox.Input("bboxes", optional=True, force_input=True,
                                     tooltip="Search only inside these boxes, from any detection "
                                     "node. The node reports boxes without a face."),
                *make_search_inputs(),
                make_crop_factor(),
                Segs.Input("segs", optional=True,
                           tooltip="Search only inside these regions, from the Impact Pack's "
                           "detectors. The node reports those without a face."),
            ],
            outputs=[
                GPENFaces.Output("faces", tooltip="The faces, and where their crops belong."),
                io.Image.Output("crops", tooltip="One aligned crop per face, image by image."),
                io.BoundingBox.Output("bboxes", tooltip="The boxes of the faces, a list per "
                                      "image."),
                io.Int.Output("count", tooltip="Number of faces in the whole batch."),
                make_masks_output(),
                Segs.Output("segs", tooltip="The faces of the first image for the Impact Pack, "
                            "each with its oval as the mask."),
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
        threshold: float,
        min_size: int,
        max_faces: int,
        crop_size: str,
        template: str,
        model: HostedGPEN | None = None,
        detector: Detector | None = None,
        landmarks: dict[str, Any] | None = None,
        bboxes: Any = None,
        min_face: int = 0,
        turns: str = SAVED_TURNS,
        refine: str = SAVED_REFINE,
        crop_factor: float = 1.0,
        segs: Any = None,
    ) -> io.NodeOutput:
        pixels, _ = from_host_image(image)
        device = host.prepare_device()  # before the detector takes memory there
        kept = {"threshold": threshold or None, "min_size": min_size}
        size = _choose_crop_size(crop_size, model)
        boxes = _join_boxes(bboxes, segs, pixels)
        searching, cutting = host.make_stages(SEARCH_SHARE, 1 - SEARCH_SHARE)
        template = _choose_template(template, model)
        if landmarks is None:
            found, missed = find_faces(
                detector,
                pixels,
                boxes,
                {**kept, "min_face": min_face, "turns": turns},
                searching,
                refine=chooses_refining(refine, size),
            )
            fit = alignable(found, template=template)
            faces, left_out = found[fit], found[~fit]
        else:
            faces, missed = _filter(from_host_landmarks(landmarks, pixels), boxes, kept)
            left_out = faces[[]]
        faces = filter_faces(faces, max_faces=max_faces or None)
        warnings = [
            *_describe_missed(missed),
            *left_out_messages(left_out),
            *_warn_of_memory(len(faces), size),
        ]
        if warnings:
            host.warn(cls.hidden.unique_id, "\n".join(warnings))
        crops = align(
            pixels,
            faces,
            size=size,
            template=template,
            device=device,
            on_progress=cutting,
            crop_factor=crop_factor,
        )
        cutting(1, 1)
        said = "\n".join([describe_faces("Found", faces), *warnings])
        host.say(cls.hidden.unique_id, said)
        aligned = AlignedFaces(faces, crops.alignment)
        return io.NodeOutput(
            aligned,
            to_host_image(crops.pixels),
            to_host_boxes(faces),
            len(faces),
            make_crop_masks(aligned),
            to_host_segs(aligned, pixels),
            ui=make_ui(
                _draw(pixels, faces, missed, left_out),
                said,
                describe_places(faces, locate_in_previews(pixels, faces, most=PREVIEW_IMAGES)),
            ),
        )


def _join_boxes(bboxes: Any, segs: Any, pixels: torch.Tensor) -> list[torch.Tensor] | None:
    """Return the boxes [K, 4] of each image in which faces are searched; None for everywhere."""
    if bboxes is None and segs is None:
        return None
    parts = [] if bboxes is None else [from_host_boxes(bboxes, len(pixels))]
    if segs is not None:
        parts.append(from_host_boxes([from_host_segs(segs, pixels)], len(pixels)))
    return [torch.cat(boxes) for boxes in zip(*parts, strict=True)]


def _filter(
    faces: Faces, boxes: list[torch.Tensor] | None, conditions: dict[str, Any]
) -> tuple[Faces, list[Missed]]:
    """Keep those of the given faces that a detector would return; return as `find_faces` does."""
    missed = []
    if boxes is not None:
        faces, missed = keep_in_boxes(faces, boxes)
    return filter_faces(faces, **conditions), missed


def _choose_crop_size(choice: str, model: HostedGPEN | None) -> int:
    if choice != FROM_MODEL:
        return int(choice)
    return DEFAULT_CROP_SIZE if model is None else model.config.in_size


def _choose_template(choice: str, model: HostedGPEN | None) -> str:
    if choice != FROM_MODEL:
        return choice
    return TEMPLATES[0] if model is None else choose_template(AUTO, model.config)


def _describe_missed(missed: list[Missed]) -> list[str]:
    return [
        f"No face in the box {x0:.0f}, {y0:.0f} … {x1:.0f}, {y1:.0f} of image {index}."
        for index, (x0, y0, x1, y1) in missed
    ]


def _warn_of_memory(count: int, size: int) -> list[str]:
    """Return a warning if the crops take more than half of the free memory."""
    needed, free = count * size * size * 3 * 4, host.measure_free_memory()
    if needed <= free / 2:
        return []
    return [
        f"{count} crops of {size}×{size} take {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB "
        "that are free. Cut smaller crops, pass fewer frames at a time, or use Restore Image, "
        "which holds only a few crops at once."
    ]


def _draw(
    pixels: torch.Tensor, faces: Faces, missed: list[Missed], left_out: Faces
) -> list[torch.Tensor]:
    """Draw the faces into the first images, and in red the boxes without a usable face.

    Returns:
        At most `PREVIEW_IMAGES` pictures [3, h, w], RGB in [0, 1]: the images, then sheets of crops
        of those whose faces are small.
    """
    red = [*missed, *zip(left_out.image_index.tolist(), left_out.boxes.tolist(), strict=True)]
    return draw_previews(pixels, faces, missed=red, most=PREVIEW_IMAGES)
