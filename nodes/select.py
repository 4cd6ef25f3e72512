"""Choose some of the faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io

from ..gpen_core.preview import draw_sheets, locate_in_sheets, number_faces
from ..gpen_core.select import ORDERS, SIZE_UNITS, select_faces
from . import host
from .clickable import describe_places
from .ranges import in_range
from .reports import count_faces
from .sockets import (
    CATEGORY,
    PREVIEW_IMAGES,
    AlignedFaces,
    GPENFaces,
    from_host_image,
    from_host_mask,
    make_ui,
)

if TYPE_CHECKING:
    from ..gpen_core.faces import Faces

LEFT_OUT = 0.3
"""Brightness in the preview of a face that was left out."""


class SelectFaces(io.ComfyNode):
    """Choose faces by number, order, count, size and region."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENSelectFaces",
            display_name="Select Faces (GPEN)",
            category=CATEGORY,
            description="Keeps the faces that meet all conditions, with their crops. Each image of "
            "a batch is treated separately.",
            search_aliases=["select face", "filter faces", "choose face", "sort faces"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                GPENFaces.Input("faces", tooltip="From Detect Faces."),
                io.Image.Input("crops", lazy=True, tooltip="The crops of these faces, in the "
                               "same order."),
                io.String.Input("indices", default="", placeholder="0, 2-4",
                                tooltip="Numbers of the faces to keep, such as 0, 2-4. 3-: from 3 "
                                "on. -1: the last. The preview of Detect Faces shows them. With "
                                "another order, 0 is the first face in that order. Empty: all "
                                "faces."),
                io.Combo.Input("order", options=list(ORDERS), default=ORDERS[0],
                               tooltip="Order in which the faces of each image are numbered and "
                               "output."),
                io.Int.Input("count", default=0, min=0, max=1000,
                             tooltip="Keep at most this many faces per image, the first in the "
                             "order. 0: no maximum."),
                io.Float.Input("min_size", default=0.0, min=0.0, max=16384.0, step=1.0,
                               tooltip="Smallest face to keep: the shorter side of its box, in "
                               "size_unit. 0: no minimum."),
                io.Float.Input("max_size", default=0.0, min=0.0, max=16384.0, step=1.0,
                               tooltip="Largest face to keep, measured in the same way. 0: no "
                               "maximum."),
                io.Combo.Input("size_unit", options=list(SIZE_UNITS), default=SIZE_UNITS[0],
                               advanced=True,
                               tooltip="Unit of min_size and max_size: pixels, or percent of the "
                               "image's shorter side."),
                io.Mask.Input("region", optional=True,
                              tooltip="Keep only faces whose centre is in this mask. It must "
                              "have the size of the image."),
            ],
            outputs=[
                GPENFaces.Output("selected", tooltip="The faces kept, in the chosen order."),
                io.Image.Output("selected_crops", tooltip="Their crops."),
                GPENFaces.Output("remaining", tooltip="All other faces. Crop Faces cuts their "
                                 "crops."),
            ],
        )  # fmt: skip

    @classmethod
    def check_lazy_status(
        cls, faces: AlignedFaces, crops: torch.Tensor | None = None, **_: object
    ) -> list[str]:
        return ["crops"] if crops is None and len(faces) else []

    @classmethod
    @in_range
    def execute(
        cls,
        faces: AlignedFaces,
        indices: str,
        order: str,
        count: int,
        min_size: float,
        max_size: float,
        size_unit: str,
        crops: torch.Tensor | None = None,
        region: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        if crops is None:
            crops = faces.make_empty_crops()
        faces.check_crops(crops)
        kept, remaining = select_faces(
            faces.faces,
            indices=indices,
            order=order,
            count=count or None,
            min_size=min_size,
            max_size=max_size or None,
            size_unit=size_unit,
            region=from_host_mask(region),
        )
        kept_crops = crops[kept.to(crops.device)]
        pictures, places = _draw(faces.faces, order, kept, crops)
        said = f"Kept {len(kept)} of {count_faces(len(faces))}."
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(
            faces[kept],
            kept_crops,
            faces[remaining],
            ui=make_ui(pictures, said, places),
        )


def _draw(
    faces: Faces, order: str, kept: torch.Tensor, crops: torch.Tensor
) -> tuple[list[torch.Tensor], list[list[dict[str, Any]]]]:
    """Draw the crops of the first images, those left out darker, with the numbers of `indices`.

    Returns:
        A sheet for each image, and what the page needs to take clicks on it.
    """
    shown = faces.image_index.unique()[:PREVIEW_IMAGES]
    rows = torch.isin(faces.image_index, shown).nonzero()[:, 0]
    ranked = rows[select_faces(faces[rows], order=order).kept]
    of_ranked, numbers = faces[ranked], number_faces(faces.image_index[ranked])
    is_kept = torch.isin(ranked, kept)
    pixels, _ = from_host_image(crops[ranked.to(crops.device)])
    pixels = pixels * torch.where(is_kept, 1.0, LEFT_OUT).to(pixels)[:, None, None, None]
    places = locate_in_sheets(of_ranked, numbers, most=PREVIEW_IMAGES)
    return (
        draw_sheets(pixels, of_ranked, numbers, most=PREVIEW_IMAGES),
        describe_places(of_ranked, places, set(is_kept.nonzero()[:, 0].tolist())),
    )
