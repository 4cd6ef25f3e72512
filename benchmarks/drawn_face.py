"""The parts of scikit-image's astronaut, drawn by hand: a face parser that cannot err."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw

from gpen_core import Faces

if TYPE_CHECKING:
    from collections.abc import Sequence

LANDMARKS = ((203.8, 101.0), (247.2, 103.6), (225.3, 128.6), (202.0, 140.0), (244.7, 142.3))
"""Found by MTCNN, in pixels of the photograph."""

PARTS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("cloth", (0, 880, 60, 790, 180, 745, 310, 740, 680, 850, 860, 1000, 0, 1000)),
    ("neck", (300, 730, 325, 895, 450, 925, 560, 940, 660, 915, 690, 770)),
    (
        "hair",
        (
            115, 330, 130, 270, 200, 200, 290, 165, 300, 130, 400, 75, 500, 35, 600, 45, 740, 100,
            800, 145, 855, 250, 888, 380, 868, 490, 800, 580, 745, 620, 262, 595, 210, 580, 140,
            500,
        ),
    ),
    ("ears", (215, 585, 262, 595, 283, 650, 245, 640)),
    ("ears", (745, 615, 785, 605, 750, 650, 728, 650)),
    (
        "skin",
        (
            290, 350, 370, 385, 450, 365, 560, 385, 710, 410, 745, 500, 725, 650, 690, 780, 620,
            850, 560, 880, 490, 882, 420, 850, 340, 790, 305, 740, 285, 650, 265, 500,
        ),
    ),
    ("brows", (305, 440, 340, 415, 435, 440, 400, 437)),
    ("brows", (550, 440, 620, 418, 690, 438, 620, 430)),
    ("eyes", (330, 485, 380, 460, 430, 490, 380, 505)),
    ("eyes", (560, 487, 610, 462, 670, 485, 610, 505)),
    ("nose", (450, 500, 550, 500, 575, 600, 550, 645, 450, 640, 430, 600)),
    ("lips", (390, 685, 490, 700, 608, 685, 560, 740, 490, 755, 440, 740)),
    ("mouth", (420, 698, 490, 706, 580, 698, 490, 730)),
)  # fmt: skip
"""Polygons x, y, x, y … in thousandths of the crop that the template "gpen" gives."""


def find_face() -> Faces:
    """Return the face of the astronaut in its photograph of 512 × 512 px."""
    return Faces(
        boxes=torch.tensor([[178.0, 60.0, 272.0, 188.0]]),
        landmarks=torch.tensor([LANDMARKS]),
        scores=torch.ones(1),
        image_index=torch.zeros(1, dtype=torch.int64),
        image_size=(1, 512, 512),
    )


def draw_parts(labels: Sequence[str], side: int) -> torch.Tensor:
    """Draw the label [side, side] int64 of each pixel of the astronaut's crop.

    Args:
        labels: the name of each label, the background first; the first of equal names is drawn.
        side: of the crop in pixels.
    """
    drawing = Image.new("L", (side, side))
    for name, polygon in PARTS:
        points = [place * side / 1000 for place in polygon]
        ImageDraw.Draw(drawing).polygon(points, fill=labels.index(name))
    return torch.frombuffer(bytearray(drawing.tobytes()), dtype=torch.uint8).view(side, side).long()


class DrawnParser:
    """A `FaceParser` that knows one face by heart.

    Args:
        covered: left, top, right, bottom of something before the face, in thousandths.
    """

    size = 500

    def __init__(self, covered: tuple[int, int, int, int] | None = None) -> None:
        self.names = ["background", *dict.fromkeys(name for name, _ in PARTS)]
        self.parts = draw_parts(self.names, self.size)
        if covered is not None:
            left, top, right, bottom = (place * self.size // 1000 for place in covered)
            self.parts[top:bottom, left:right] = 0

    def find_regions(self, faces: torch.Tensor, regions: Sequence[str]) -> torch.Tensor:
        """Return the masks [N, 1, s, s] of the regions, whatever the faces show."""
        chosen = torch.tensor([float(name in regions) for name in self.names])
        return chosen[self.parts].expand(len(faces), 1, -1, -1)
