"""The photographs that the other scripts here measure with."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from gpen_core import read_image
from gpen_core.warp import resize

COLUMNS, ROWS = 7, 5


def photograph(path: Path | None, megapixels: float, faces: int) -> torch.Tensor:
    """[1, 3, H, W] the photograph of a file, enlarged to that area; without a file a stand-in.

    The stand-in is so many portraits (scikit-image's astronaut, public domain) on grey, 4:3.
    """
    if path is not None:
        image = read_image(path)
        scale = math.sqrt(megapixels * 1e6 / (image.shape[2] * image.shape[3]))
        height, width = (round(side * scale) for side in image.shape[2:])
        return resize(image, height, width).clamp(0, 1)
    return portraits(megapixels, faces)


def portraits(megapixels: float, faces: int, side: int | None = None) -> torch.Tensor:
    """[1, 3, H, W] up to 35 portraits on grey, 4:3; `side` px each, or as large as have room."""
    from skimage.data import astronaut

    width = round(math.sqrt(megapixels * 1e6 * 4 / 3))
    height = width * 3 // 4
    cell = width // COLUMNS, height // ROWS
    face = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255
    face = resize(face, *[side or min(cell)] * 2).clamp(0, 1)
    side = face.shape[-1]
    image = torch.full((1, 3, height, width), 0.5)
    for n in range(faces):
        left, top = n % COLUMNS * cell[0], n // COLUMNS * cell[1]
        image[..., top : top + side, left : left + side] = face
    return image
