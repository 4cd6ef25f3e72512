"""Find faces and cut their crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..gpen_core.names import TEMPLATES
from ..gpen_core.preview import draw_faces
from . import host
from .files import make_detector, stamp_unconnected_detector
from .sockets import (
    CATEGORY,
    CROP_SIZES,
    PREVIEW_IMAGES,
    AlignedFaces,
    FaceLandmarks,
    GPENDetector,
    GPENFaces,
    GPENModel,
    boxes_in,
    boxes_out,
    faces_in,
    image_in,
    image_out,
    preview_out,
)

if TYPE_CHECKING:
    import torch

    from ..gpen_core.detectors import Detector
    from ..gpen_core.detectors.regions import Missed
    from ..gpen_core.faces import Faces

FROM_MODEL = "from model"
AS_CUT = "as detected"
DEFAULT_CROP_SIZE = 512


class DetectFaces(io.ComfyNode):
    """Find faces, cut aligned crops."""

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
                               tooltip="Lowest score of a face, 0 … 1. Lower finds more, and more "
                               "that are none. 0: the detector's own."),
                io.Int.Input("min_size", default=0, min=0, max=16384,
                             tooltip="Leave out faces smaller than this, in pixels."),
                io.Int.Input("max_faces", default=0, min=0, max=1000,
                             tooltip="At most so many faces in each image. 0: no limit."),
                io.Combo.Input("crop_size", options=[FROM_MODEL, *CROP_SIZES], default=FROM_MODEL,
                               tooltip="Side of the crops in pixels. From model: what the "
                               f"connected model takes; {DEFAULT_CROP_SIZE} without one."),
                io.Combo.Input("template", options=list(TEMPLATES), default="gpen", advanced=True,
                               tooltip="Where the face lies in the crop: as GPEN was trained, or "
                               "as FFHQ has it, 1.12 times larger, which most other models take."),
                GPENModel.Input("model", optional=True, tooltip="Sets the crop size."),
                GPENDetector.Input("detector", optional=True, tooltip="From Load Face Detector; "
                                   "chosen automatically when nothing is connected."),
                FaceLandmarks.Input("landmarks", optional=True,
                                    tooltip="Take these faces, from Detect Face Landmarks "
                                    "(MediaPipe), instead of detecting any."),
                io.BoundingBox.Input("bboxes", optional=True, force_input=True,
                                     tooltip="Look only inside these boxes, from any detection "
                                     "node. A box without a face is reported."),
            ],
            outputs=[
                GPENFaces.Output("faces", tooltip="The faces and where their crops belong."),
                io.Image.Output("crops", tooltip="One aligned crop per face, image after image."),
                io.BoundingBox.Output("bboxes", tooltip="The faces' boxes, a list for each image."),
                io.Int.Output("count", tooltip="Number of faces in the whole batch."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs)

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        threshold: float,
        min_size: int,
        max_faces: int,
        crop_size: str,
        template: str,
        model: host.HostedGPEN | None = None,
        detector: Detector | None = None,
        landmarks: dict[str, Any] | None = None,
        bboxes: Any = None,
    ) -> io.NodeOutput:
        from ..gpen_core.align import align, alignable, left_out_messages
        from ..gpen_core.detectors.regions import limit_faces

        pixels, _ = image_in(image)
        device = host.prepare_device()  # before the detector goes there
        limits = {"threshold": threshold or None, "min_size": min_size}
        boxes = None if bboxes is None else boxes_in(bboxes, len(pixels))
        if landmarks is None:
            found, missed = _detect(detector or make_detector(), pixels, boxes, limits)
            fit = alignable(found, template=template)
            faces, left_out = found[fit], found[~fit]
        else:
            faces, missed = _take(faces_in(landmarks, pixels), boxes, limits)
            left_out = faces[[]]
        faces = limit_faces(faces, max_faces=max_faces or None)
        size = _crop_size(crop_size, model)
        warnings = [
            *_missed_warnings(missed),
            *left_out_messages(left_out),
            *_memory_warnings(len(faces), size),
        ]
        if warnings:
            host.warn(cls.hidden.unique_id, "\n".join(warnings))
        crops = align(
            pixels,
            faces,
            size=size,
            template=template,
            device=device,
            on_progress=host.make_progress(len(faces)),
        )
        return io.NodeOutput(
            AlignedFaces(faces, crops.alignment),
            image_out(crops.pixels),
            boxes_out(faces),
            len(faces),
            ui=preview_out(_preview(pixels, faces, missed, left_out)),
        )


class CropFaces(io.ComfyNode):
    """Cut crops of faces already found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENCropFaces",
            display_name="Crop Faces (GPEN)",
            category=CATEGORY,
            description="Cuts the crops of faces already found: of those that Select Faces did "
            "not keep, or at another size.",
            search_aliases=["crop face", "face crop", "align face"],
            inputs=[
                io.Image.Input("image", tooltip="The image that went into Detect Faces."),
                GPENFaces.Input("faces", tooltip="Which faces to cut."),
                io.Combo.Input("size", options=[AS_CUT, *CROP_SIZES], default=AS_CUT,
                               tooltip="Side of the crops in pixels."),
            ],
            outputs=[
                GPENFaces.Output("faces", tooltip="The same faces, for crops of this size."),
                io.Image.Output("crops", tooltip="One aligned crop per face, in the same order."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, image: torch.Tensor, faces: AlignedFaces, size: str) -> io.NodeOutput:
        from ..gpen_core.align import cut

        pixels, _ = image_in(image)
        faces.check_image(pixels)
        alignment = faces.alignment
        if size != AS_CUT:
            alignment = alignment.at_size(int(size))
        crops = cut(
            pixels,
            alignment,
            device=host.prepare_device(),
            on_progress=host.make_progress(len(faces)),
        )
        return io.NodeOutput(AlignedFaces(faces.faces, alignment), image_out(crops.pixels))


def _detect(
    detector: Detector,
    pixels: torch.Tensor,
    boxes: list[torch.Tensor] | None,
    limits: dict[str, Any],
) -> tuple[Faces, list[Missed]]:
    """What the detector finds, everywhere or in boxes, and the boxes without a face."""
    from ..gpen_core.detectors import detect
    from ..gpen_core.detectors.regions import detect_in_boxes

    on_progress = host.make_progress(len(pixels))
    if boxes is None:
        return detect(detector, pixels, **limits, on_progress=on_progress), []
    return detect_in_boxes(detector, pixels, boxes, **limits, on_progress=on_progress)


def _take(
    faces: Faces, boxes: list[torch.Tensor] | None, limits: dict[str, Any]
) -> tuple[Faces, list[Missed]]:
    """The faces that another node found, under the same conditions."""
    from ..gpen_core.detectors.regions import keep_in_boxes, limit_faces

    missed = []
    if boxes is not None:
        faces, missed = keep_in_boxes(faces, boxes)
    return limit_faces(faces, **limits), missed


def _crop_size(choice: str, model: host.HostedGPEN | None) -> int:
    if choice != FROM_MODEL:
        return int(choice)
    return DEFAULT_CROP_SIZE if model is None else model.config.in_size


def _missed_warnings(missed: list[Missed]) -> list[str]:
    return [
        f"No face in the box {x0:.0f}, {y0:.0f} … {x1:.0f}, {y1:.0f} of image {index}."
        for index, (x0, y0, x1, y1) in missed
    ]


def _memory_warnings(count: int, size: int) -> list[str]:
    needed, free = count * size * size * 3 * 4, host.measure_free_memory()
    if needed <= free / 2:
        return []
    return [
        f"{count} crops of {size}×{size} take {needed / 1e9:.1f} GB, of {free / 1e9:.1f} GB free. "
        "Take smaller crops, fewer frames at a time, or Restore Image, which holds few at once."
    ]


def _preview(
    pixels: torch.Tensor, faces: Faces, missed: list[Missed], left_out: Faces
) -> torch.Tensor:
    """The first frames with what was found, and in red what was not, [B, 3, H, W]."""
    red = [*missed, *zip(left_out.image_index.tolist(), left_out.boxes.tolist(), strict=True)]
    return draw_faces(pixels[:PREVIEW_IMAGES], faces, missed=red)
