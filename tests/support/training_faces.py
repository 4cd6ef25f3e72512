"""Cheap stand-ins for faces, and a folder of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from gpen_core import GPENConfig, write_image

if TYPE_CHECKING:
    from pathlib import Path


CONFIG = GPENConfig(64, 64, (16, 16, 16, 16, 8), style_dim=16, mapping_layers=2)
"""A network that trains in a moment."""


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


def write_faces(folder: Path, pixels: torch.Tensor) -> Path:
    """Write [6, 3, S, S] uint8 beside an INDEX.tsv: four of split `train`, two of `val`."""
    faces = folder / "faces"
    faces.mkdir()
    for i, face in enumerate(pixels):
        write_image(faces / f"face{i}.png", face[None] / 255)
    rows = [f"faces/face{i}.png\tstudio{i % 2}\t{'val' if i > 3 else 'train'}" for i in range(6)]
    (folder / "INDEX.tsv").write_text("\n".join(["file\tsource\tsplit", *rows]), "utf-8")
    return faces


@pytest.fixture
def faces_folder(tmp_path):
    """A folder of six images with an index (`write_faces`)."""
    return write_faces(tmp_path, smooth_faces(6))
