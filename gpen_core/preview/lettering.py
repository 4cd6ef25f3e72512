"""Write text into an image, in Pillow's own font."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .drawing import DARK, blend, fill

if TYPE_CHECKING:
    from .drawing import Colour

WHITE: Colour = (1.0, 1.0, 1.0)
PLATE = 0.75
"""Opacity of the plate behind a number."""


def measure_label(text: str, size: int) -> tuple[int, int]:
    """Return width and height in px of a text on its plate; `size` is the font's."""
    height, width = _render(text, size).shape
    pad = _measure_pad(size)
    return width + 2 * pad, height + 2 * pad


def draw_label(
    canvas: torch.Tensor, text: str, left: int, top: int, size: int, colour: Colour = WHITE
) -> None:
    """Write a text on a dark plate whose upper left corner is (left, top), in place.

    Args:
        canvas: [3, H, W] RGB in [0, 1], on the CPU.
        text: one line.
        left: px.
        top: px.
        size: of the font, px; digits are about 0.7 of it high.
        colour: of the text, RGB in [0, 1].
    """
    width, height = measure_label(text, size)
    fill(canvas, (left, top, left + width, top + height), DARK, PLATE)
    pad = _measure_pad(size)
    blend(canvas, left + pad, top + pad, _render(text, size), colour)


def draw_text(canvas: torch.Tensor, text: str, left: int, top: int, size: int) -> None:
    """Write a text in white without a plate, in place."""
    blend(canvas, left, top, _render(text, size), WHITE)


def _measure_pad(size: int) -> int:
    return max(2, round(size / 6))


@lru_cache(maxsize=1024)
def _render(text: str, size: int) -> torch.Tensor:
    """Return the opacity of a text, [h, w] in [0, 1]; digits of one size have one height."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text, anchor="ls")
    _, top, _, bottom = font.getbbox("0123456789" + text, anchor="ls")
    image = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)
