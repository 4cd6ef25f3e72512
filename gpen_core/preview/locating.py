"""Where faces stand in previews, so that a page can take a click on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from .marks import MAX_SIDE, measure_scale, number_faces
from .sheet import find_cells, find_small_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..faces import Faces


class Place(NamedTuple):
    """A face in a picture.

    Attributes:
        row: the face's row in `Faces`.
        number: its number in its image.
        box: x, y, width and height, as fractions of the picture.
    """

    row: int
    number: int
    box: tuple[float, float, float, float]


def locate_in_previews(image: torch.Tensor, faces: Faces, *, most: int = 16) -> list[list[Place]]:
    """Return the places of faces in each picture of `draw_previews` with the same arguments.

    Args:
        image: [B, 3, H, W].
        faces: the faces in that batch.
        most: the largest number of pictures.
    """
    height, width = image.shape[-2:]
    numbers = number_faces(faces.image_index)
    pictures = []
    for index in range(min(most, len(image))):
        rows = (faces.image_index == index).nonzero()[:, 0].tolist()
        places = []
        for row in rows:
            x0, y0, x1, y1 = faces.boxes[row].tolist()
            box = (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
            places.append(Place(row, numbers[row], box))
        pictures.append(places)
    scale = measure_scale(image, MAX_SIDE)
    for index in find_small_images(faces, scale, len(pictures))[: most - len(pictures)]:
        rows = (faces.image_index == index).nonzero()[:, 0].tolist()
        pictures.append(_locate_in_sheet(rows, numbers, has_title=len(image) > 1))
    return pictures


def locate_in_sheets(faces: Faces, numbers: Sequence[int], *, most: int = 16) -> list[list[Place]]:
    """Return the places of faces in each picture of `draw_sheets` with the same arguments."""
    sheets = []
    for index in sorted(set(faces.image_index.tolist()))[:most]:
        rows = (faces.image_index == index).nonzero()[:, 0].tolist()
        sheets.append(_locate_in_sheet(rows, numbers, has_title=faces.image_size[0] > 1))
    return sheets


def _locate_in_sheet(rows: list[int], numbers: Sequence[int], *, has_title: bool) -> list[Place]:
    cells = find_cells(len(rows), has_title=has_title)
    return [
        Place(row, numbers[row], (x / cells.width, y / cells.height, *cells.shares))
        for row, (x, y) in zip(rows, cells.corners, strict=False)
    ]
