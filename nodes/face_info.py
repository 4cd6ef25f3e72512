"""Tell the figures of each face, as text and as JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..gpen_core.preview import number_faces
from ..gpen_core.spectra import choose_area, choose_block, measure_spectrum
from ..gpen_core.warp import cut_rectangle
from . import host
from .reports import name_face
from .sockets import CATEGORY, AlignedFaces, GPENFaces, from_host_image, make_ui

if TYPE_CHECKING:
    import torch


class FaceInfo(io.ComfyNode):
    """Tell place, size, angle, sharpness and noise of each face."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENFaceInfo",
            display_name="Face Info (GPEN)",
            category=CATEGORY,
            description="Tells place, size, angle, sharpness and noise of each face, as text and "
            "as JSON.",
            search_aliases=["face size", "face box", "face angle", "face data", "gpen"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                GPENFaces.Input("faces", tooltip="From Detect Faces or Select Faces."),
                io.Image.Input("image", optional=True,
                               tooltip="The image that Detect Faces got. With it, sharpness and "
                               "noise are measured, too."),
            ],
            outputs=[
                io.String.Output("text", tooltip="A line for each face."),
                io.String.Output("json", tooltip="A list with an object for each face."),
                io.Int.Output("count", tooltip="Number of faces."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, faces: AlignedFaces, image: torch.Tensor | None = None) -> io.NodeOutput:
        pixels = None if image is None else from_host_image(image)[0]
        if pixels is not None:
            faces.check_image(pixels)
        figures = describe(faces, pixels)
        text = "\n".join(map(_write, figures)) or "No face."
        host.say(cls.hidden.unique_id, text)
        return io.NodeOutput(text, json.dumps(figures), len(faces), ui=make_ui(said=text))


def describe(faces: AlignedFaces, image: torch.Tensor | None) -> list[dict[str, Any]]:
    """Return the figures of each face.

    Args:
        faces: N faces.
        image: [B, 3, H, W] RGB in [0, 1], in which they were found, or None.

    Returns:
        For each face, in values that JSON has: image and number, from 0; box x0, y0, x1, y1, width,
        height, eye_distance in pixels; landmarks [5][2]; angle of the eyes in degrees, clockwise,
        0 for an upright face; score. With an image also finest, the length in pixels of the finest
        waves above the noise (2: as sharp as pixels can be), and noise, its standard deviation in
        levels of 255; both None in an image of less than 24 pixels.
    """
    found = faces.faces
    figures = []
    for row, number in enumerate(number_faces(found.image_index)):
        points = found.landmarks[row]
        across, down = (points[1] - points[0]).tolist()
        one = {
            "image": int(found.image_index[row]),
            "number": number,
            "box": _round(found.boxes[row].tolist()),
            "width": round(float(found.widths[row]), 1),
            "height": round(float(found.heights[row]), 1),
            "eye_distance": round(math.hypot(across, down), 1),
            "landmarks": [_round(point) for point in points.tolist()],
            "angle": round(math.degrees(math.atan2(down, across)), 1),
            "score": round(float(found.scores[row]), 3),
        }
        if image is not None:
            one |= _measure(image[one["image"]][None], found.boxes[row].tolist())
        figures.append(one)
    return figures


def _measure(image: torch.Tensor, box: list[float]) -> dict[str, float | None]:
    """Measure sharpness and noise of a face of [1, 3, H, W], as `gpen_core.report` does."""
    area = choose_area(box, image.shape[2:])
    block = choose_block(area.height, area.width)
    if block is None:
        return {"finest": None, "noise": None}
    pixels = cut_rectangle(image, area).cpu()
    spectrum = measure_spectrum(pixels, block)
    return {"finest": round(spectrum.finest, 2), "noise": round(spectrum.noise_level, 2)}


def _round(values: list[float]) -> list[float]:
    return [round(value, 1) for value in values]


def _write(face: dict[str, Any]) -> str:
    """Write the figures of a face as a line."""
    line = (
        f"{name_face(face['image'], face['number'], face['box'])}; eyes "
        f"{face['eye_distance']:.0f} px apart, turned by {face['angle']:.0f}°; score "
        f"{face['score']:.2f}"
    )
    if face.get("finest") is not None:
        line += f"; detail down to {face['finest']:.1f} px, noise {face['noise']:.1f} levels"
    return line
