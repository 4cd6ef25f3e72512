"""Faces and cheap stand-ins for them, folders of these, and files that hold no usable face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_core import GPENConfig, write_image

if TYPE_CHECKING:
    from pathlib import Path


CONFIG = GPENConfig(64, 64, (16, 16, 16, 16, 8), style_dim=16, mapping_layers=2)
"""A network that trains within seconds."""

NOISE_SIZE = 32

BAD_FILES = {
    "truncated": "is cut off",
    "corrupt": "damaged",
    "text": "not an image",
    "empty": "empty",
    "tiny": "8 × 8; at least 16 px",
    "oblong": "64 × 40; aligned faces are square",
    "animated": "2 frames",
}
"""Kinds of files without a usable face (`write_bad_file`), and a part of their errors."""


def smooth_faces(count: int, size: int = 64) -> torch.Tensor:
    """Return [count, 3, size, size] uint8 stand-ins for faces."""
    return _draw_levels(count, size, size).byte()


def draw_shapes(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    """Return [count, 3, height, width] stand-ins for faces in [0, 1], in levels of 255."""
    return _draw_levels(count, height, width).round() / 255


def _draw_levels(count: int, height: int, width: int) -> torch.Tensor:
    """Draw smooth shapes with edges, the same at every call, in 0 … 255."""
    draw = torch.Generator().manual_seed(7)
    noise = torch.randn(count, 3, height // 8, width // 8, generator=draw)
    blobs = torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear")
    return ((blobs > 0) * 120 + blobs * 20 + 60).clamp(0, 255)


def noise_faces(count: int) -> torch.Tensor:
    """Return [count, 3, 32, 32] uint8 of noise, the same at every call."""
    draw = torch.Generator().manual_seed(7)
    shape = (count, 3, NOISE_SIZE, NOISE_SIZE)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


def crop_astronaut(size: int = 64) -> torch.Tensor:
    """Return the face of scikit-image's astronaut, as it is and mirrored, [2, 3, S, S] uint8."""
    data = pytest.importorskip("skimage.data", reason="install the extra `demo`")
    pixels = torch.from_numpy(data.astronaut()[0:224, 110:334].copy()).permute(2, 0, 1)
    small = torch.nn.functional.interpolate(
        pixels[None] / 255, (size, size), mode="bicubic", antialias=True
    )
    face = (small.clamp(0, 1) * 255).round().byte()
    return torch.cat([face, face.flip(3)])


def write_faces(folder: Path, pixels: torch.Tensor) -> Path:
    """Write [6, 3, S, S] uint8 and an INDEX.tsv: four of split `train`, two of `val`."""
    faces_folder = folder / "faces"
    faces_folder.mkdir()
    for i, face in enumerate(pixels):
        write_image(faces_folder / f"face{i}.png", face[None] / 255)
    rows = [f"faces/face{i}.png\tstudio{i % 2}\t{'val' if i > 3 else 'train'}" for i in range(6)]
    (folder / "INDEX.tsv").write_text("\n".join(["file\tsource\tsplit", *rows]), "utf-8")
    return faces_folder


@pytest.fixture
def faces_folder(tmp_path: Path) -> Path:
    """A folder of six smooth faces, 64 px, with an index (`write_faces`)."""
    return write_faces(tmp_path, smooth_faces(6))


@pytest.fixture
def noise_folder(tmp_path: Path) -> Path:
    """A folder of six faces of noise, 32 px, with an index (`write_faces`)."""
    return write_faces(tmp_path, noise_faces(6))


def write_bad_file(kind: str, folder: Path) -> Path:
    """Write a file without a usable face; its name comes before that of every good one."""
    path = folder / f"bad {kind} ü.jpg"
    if kind == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:700])
    elif kind == "corrupt":
        path.write_bytes(b"\xff\xd8\xff\xe0 and nothing like a picture")
    elif kind == "text":
        path.write_text("<html>404 Not Found</html>", encoding="utf-8")
    elif kind == "empty":
        path.touch()
    elif kind == "tiny":
        write_image(path, torch.rand(1, 3, 8, 8))
    elif kind == "oblong":
        write_image(path, torch.rand(1, 3, 40, 64))
    elif kind == "animated":
        path = path.with_suffix(".webp")
        frames = [Image.new("RGB", (NOISE_SIZE, NOISE_SIZE), (shade, 0, 0)) for shade in (0, 200)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    return path
