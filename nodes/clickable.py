"""What the page needs for its own views: faces that take clicks, a result over its photograph.

`web/js/faces.js` and `web/js/compare.js` show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import ui

from ..gpen_core.warp import resize

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    import torch

    from ..gpen_core.faces import Faces
    from ..gpen_core.preview import Place

FACES = "gpen_faces"
"""The key of the faces in a node's `ui` value: a list for each picture of `images`."""


def describe_places(
    faces: Faces, pictures: Sequence[Sequence[Place]], kept: Container[int] | None = None
) -> list[list[dict[str, Any]]]:
    """Describe the faces of each picture for the page.

    Args:
        faces: those that the places number.
        pictures: the places in each picture.
        kept: the rows that a node keeps; None for all.
    """
    widths, heights = faces.widths.tolist(), faces.heights.tolist()
    scores, images = faces.scores.tolist(), faces.image_index.tolist()
    return [
        [
            {
                "number": place.number,
                "image": images[place.row],
                "box": [round(part, 5) for part in place.box],
                "size": f"{widths[place.row]:.0f}×{heights[place.row]:.0f}",
                "score": round(scores[place.row], 2),
                "kept": kept is None or place.row in kept,
            }
            for place in places
        ]
        for places in pictures
    ]


COMPARED, COMPARED_SIDE = 4, 1536
"""Images of a batch that are compared, and the longer side in pixels to which they are shrunk."""


def compare(before: torch.Tensor, after: torch.Tensor) -> dict[str, Any]:
    """Save the first images before and after, [B, 3, H, W]; return their `ui` values."""
    return {
        f"gpen_{name}": ui.PreviewImage([*_shrink(images[:COMPARED])]).as_dict()["images"]
        for name, images in (("before", before), ("after", after))
    }


def _shrink(images: torch.Tensor) -> torch.Tensor:
    """Shrink images to COMPARED_SIDE, in the host's layout [B, h, w, 3]."""
    height, width = images.shape[-2:]
    scale = min(1.0, COMPARED_SIDE / max(height, width))
    if scale < 1:
        images = resize(images, round(height * scale), round(width * scale))
    return images.clamp(0, 1).movedim(1, -1)
