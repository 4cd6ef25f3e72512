"""Cheap stand-ins for faces, and a folder of them."""

from __future__ import annotations

import pytest
import torch

from gpen_core import write_image


def smooth_faces(count: int, size: int = 64) -> torch.Tensor:
    """[count, 3, size, size] uint8: shapes with edges, cheap stand-ins for faces."""
    draw = torch.Generator().manual_seed(7)
    noise = torch.randn(count, 3, size // 8, size // 8, generator=draw)
    blobs = torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear")
    return ((blobs > 0) * 120 + blobs * 20 + 60).clamp(0, 255).byte()


@pytest.fixture
def faces_folder(tmp_path):
    """A folder of six images beside an INDEX.tsv: four of split `train`, two of `val`."""
    faces = tmp_path / "faces"
    faces.mkdir()
    for i, pixels in enumerate(smooth_faces(6)):
        write_image(faces / f"face{i}.png", pixels[None] / 255)
    rows = [f"faces/face{i}.png\t{'val' if i > 3 else 'train'}" for i in range(6)]
    (tmp_path / "INDEX.tsv").write_text("\n".join(["file\tsplit", *rows]), encoding="utf-8")
    return faces
