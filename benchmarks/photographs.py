"""Make the photographs that `pipeline.py` and `paste.py` measure with."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from gpen_core import read_image
from gpen_core.warp import resize

COLUMNS, ROWS = 7, 5


def load_photograph(path: Path | None, megapixels: float, faces: int) -> torch.Tensor:
    """Read a photograph and enlarge it; without a path, make a stand-in with `make_portraits`.

    Args:
        path: an image file, or None.
        megapixels: area of the result.
        faces: how many portraits the stand-in has.

    Returns:
        [1, 3, H, W] float32 RGB in [0, 1].
    """
    if path is not None:
        image = read_image(path)
        scale = math.sqrt(megapixels * 1e6 / (image.shape[2] * image.shape[3]))
        height, width = (round(side * scale) for side in image.shape[2:])
        return resize(image, height, width).clamp(0, 1)
    return make_portraits(megapixels, faces)


def make_portraits(megapixels: float, faces: int, side: int | None = None) -> torch.Tensor:
    """Put copies of scikit-image's astronaut (public domain) on a grey 4:3 frame.

    Args:
        megapixels: area of the frame.
        faces: how many copies, up to 35.
        side: side of a copy in px; None makes them as large as the frame has room for.

    Returns:
        [1, 3, H, W] float32 RGB in [0, 1].
    """
    from skimage.data import astronaut

    width = round(math.sqrt(megapixels * 1e6 * 4 / 3))
    height = width * 3 // 4
    cell = width // COLUMNS, height // ROWS
    portrait = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255
    portrait = resize(portrait, *[side or min(cell)] * 2).clamp(0, 1)
    side = portrait.shape[-1]
    image = torch.full((1, 3, height, width), 0.5)
    for n in range(faces):
        left, top = n % COLUMNS * cell[0], n // COLUMNS * cell[1]
        image[..., top : top + side, left : left + side] = portrait
    return image
