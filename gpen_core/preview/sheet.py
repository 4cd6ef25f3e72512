"""Lay out numbered crops as a contact sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..warp import resize
from .lettering import draw_text, measure_label
from .marks import MAX_SIDE, draw_faces, measure_scale, number_faces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..faces import Faces
    from .marks import Missed

SMALL_FACE = 64
"""Shorter side in the preview, px, below which a face is hard to recognise there."""
MAX_CROPS = 100
"""Crops on one sheet."""
SHEET_WIDTH = 1080
LARGEST_CELL = 256
GAP = 6
FONT = 22
GREY = 0.13


def draw_previews(
    image: torch.Tensor, faces: Faces, *, missed: Missed = (), most: int = 16
) -> list[torch.Tensor]:
    """Return the images with their faces marked, then sheets of those images whose faces are small.

    Args:
        image: [B, 3, H, W] RGB in [0, 1].
        faces: the faces in that batch.
        missed: boxes to draw in red, as for `draw_faces`.
        most: the largest number of pictures; the first images have precedence over sheets.

    Returns:
        At most `most` pictures, each [3, h, w] RGB in [0, 1].
    """
    pictures = [*draw_faces(image[:most], faces, missed=missed)]
    numbers = [str(number) for number in number_faces(faces.image_index)]
    small = find_small_images(faces, measure_scale(image, MAX_SIDE), len(pictures))
    for index in small[: most - len(pictures)]:
        rows = (faces.image_index == index).nonzero()[:, 0].tolist()
        boxes = faces.boxes[rows[:MAX_CROPS]].tolist()
        pictures.append(
            draw_sheet(
                (_cut_box(image[index], box) for box in boxes),
                [numbers[row] for row in rows],
                title=f"Image {index}" if len(image) > 1 else "",
            )
        )
    return pictures


def find_small_images(faces: Faces, scale: float, count: int) -> list[int]:
    """Return which of the first `count` images hold faces that are small when shrunk by `scale`."""
    sides = torch.minimum(faces.widths, faces.heights) * scale
    small = set(faces.image_index[sides < SMALL_FACE].tolist())
    return sorted(small & set(range(count)))


def draw_sheets(
    crops: torch.Tensor, faces: Faces, numbers: Sequence[int], *, most: int = 16
) -> list[torch.Tensor]:
    """Draw one sheet of crops for each image that has faces.

    Args:
        crops: [N, 3, S, S] RGB in [0, 1], one per face.
        faces: N faces.
        numbers: [N], the number of each face. Faces stand in their order.
        most: the largest number of sheets.

    Returns:
        At most `most` pictures, each [3, h, w] RGB in [0, 1].
    """
    sheets = []
    for index in sorted(set(faces.image_index.tolist()))[:most]:
        rows = (faces.image_index == index).nonzero()[:, 0].tolist()
        labels = [str(numbers[row]) for row in rows]
        title = f"Image {index}" if faces.image_size[0] > 1 else ""
        sheets.append(draw_sheet((crops[row] for row in rows), labels, title=title))
    return sheets


def draw_sheet(
    crops: Iterable[torch.Tensor], labels: Sequence[str], *, title: str = ""
) -> torch.Tensor:
    """Draw crops in rows, each with its label below.

    Args:
        crops: [3, h, w] RGB in [0, 1], of any sizes; values beyond are clamped.
        labels: one for each crop. The first `MAX_CROPS` crops are shown; a line at the top then
            says how many are not.
        title: the first words of that line.

    Returns:
        [3, H, W] RGB in [0, 1], float32 on the CPU.
    """
    shown = labels[:MAX_CROPS]
    cells = find_cells(len(labels), has_title=bool(title))
    side = cells.side
    head = [title] if title else []
    if len(shown) < len(labels):
        head.append(f"{len(shown)} of {len(labels)} faces; {len(labels) - len(shown)} not shown")
    sheet = torch.full((3, cells.height, cells.width), GREY)
    draw_text(sheet, ": ".join(head), GAP, GAP, FONT)
    for (x, y), crop, label in zip(cells.corners, crops, shown, strict=False):
        _put(sheet[:, y : y + side, x : x + side], crop)
        width, _ = measure_label(label, FONT)
        draw_text(sheet, label, x + (side - width) // 2, y + side + GAP // 2, FONT)
    return sheet


class Cells(NamedTuple):
    """The squares of a contact sheet that hold crops, in pixels.

    Attributes:
        width, height: of the whole sheet.
        side: of a square.
        corners: left and top of each square.
    """

    width: int
    height: int
    side: int
    corners: list[tuple[int, int]]

    @property
    def shares(self) -> tuple[float, float]:
        """A square's width and height as fractions of the sheet's."""
        return self.side / self.width, self.side / self.height


def find_cells(count: int, *, has_title: bool) -> Cells:
    """Lay out a sheet for `count` crops, of which it shows at most `MAX_CROPS`."""
    shown = min(count, MAX_CROPS)
    columns = min(shown, math.ceil(math.sqrt(1.5 * shown))) or 1
    side = min(LARGEST_CELL, SHEET_WIDTH // columns)
    height = side + FONT + 2 * GAP  # of a cell and its label
    top = FONT + 2 * GAP if has_title or shown < count else GAP
    corners = [
        (GAP + place % columns * (side + GAP), top + place // columns * height)
        for place in range(shown)
    ]
    return Cells(columns * (side + GAP) + GAP, top + -(-shown // columns) * height, side, corners)


def _put(cell: torch.Tensor, crop: torch.Tensor) -> None:
    """Put a crop in the middle of a square cell, in place, as large as it fits."""
    height, width = crop.shape[1:]
    if not height or not width:
        return
    side = cell.shape[-1]
    scale = side / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = crop.detach().float().cpu().nan_to_num(0, 1, 0).clamp(0, 1)
    top, left = (side - height) // 2, (side - width) // 2
    cell[:, top : top + height, left : left + width] = resize(pixels[None], height, width)[0].clamp(
        0, 1
    )


def _cut_box(image: torch.Tensor, box: Sequence[float]) -> torch.Tensor:
    """Cut a face with a margin: a square of 1.5 times its box, as far as the image goes."""
    x0, y0, x1, y1 = box
    reach = 0.75 * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    height, width = image.shape[1:]
    left, right = (min(max(round(value), 0), width) for value in (x - reach, x + reach))
    top, bottom = (min(max(round(value), 0), height) for value in (y - reach, y + reach))
    return image[:, top:bottom, left:right]
