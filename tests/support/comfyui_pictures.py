"""Pictures for tests, made from scikit-image's astronaut (NASA, public domain)."""

from __future__ import annotations

import subprocess
import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

FACES_PER_FRAME = (0, 1, 2, 3, 2, 0)
"""Number of faces in the frames of a clip; the sequence repeats."""


def load_astronaut() -> Image.Image:
    """Load a photograph of 512×512 with one face."""
    data = pytest.importorskip("skimage.data", reason="pip install scikit-image")
    return Image.fromarray(data.astronaut())


def cut_head(side: int) -> Image.Image:
    return load_astronaut().crop((140, 10, 320, 190)).resize((side, side), Image.Resampling.LANCZOS)


def draw_clip(frames: int, width: int = 384, height: int = 160) -> list[Image.Image]:
    """Draw frames with 0 to 3 moving heads on grey."""
    made = []
    for number in range(frames):
        shades = np.linspace(90 + number % 7, 140, width, dtype=np.uint8)
        frame = Image.fromarray(np.tile(shades[None, :, None], (height, 1, 3)))
        for place in range(FACES_PER_FRAME[number % len(FACES_PER_FRAME)]):
            frame.paste(cut_head(104), (12 + 124 * place + number % 5, 20 + (number * 3) % 20))
        made.append(frame)
    return made


def save_clip(path: Path, frames: list[Image.Image]) -> None:
    """Write frames as a lossless animation, which ComfyUI loads as a batch."""
    first, *others = frames
    first.save(path, save_all=True, append_images=others, lossless=True, duration=40)


VIDEO = """
import sys
import av
from PIL import Image
first, *others = (Image.open(path) for path in sys.argv[2:])
with av.open(sys.argv[1], "w") as out:
    stream = out.add_stream("libx264", rate=12)
    stream.width, stream.height, stream.pix_fmt = *first.size, "yuv420p"
    for frame in (first, *others):
        for packet in stream.encode(av.VideoFrame.from_image(frame)):
            out.mux(packet)
    for packet in stream.encode():
        out.mux(packet)
"""


def write_video(python: str, path: Path, frames: list[Image.Image]) -> None:
    """Write frames as H.264 with the interpreter `python`, which must have PyAV like ComfyUI's."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number:03}.png" for number in range(len(frames))]
        for file, frame in zip(files, frames, strict=True):
            frame.save(file)
        subprocess.run([python, "-c", VIDEO, str(path), *files], check=True, timeout=120)
