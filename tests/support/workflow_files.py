"""Small files in place of the checkpoints that workflows need and a new user lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from networks import random_network

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINTS = {
    "diffusion_between": "checkpoints/v1-5-pruned-emaonly-fp16.safetensors",
    "colorize_faces": "gpen/GPEN-Colorization-1024.pth",
    "inpaint_faces": "gpen/GPEN-Inpainting-1024.pth",
    "faces_from_segmentation": "gpen/GPEN-Seg2face-512.pth",
    "portrait_2048": "gpen/GPEN-BFR-2048.pth",
}
"""The checkpoint that each of these workflows needs, below ComfyUI's `models`."""


def put_checkpoints(base: Path) -> None:
    """Write an empty diffusion checkpoint, and GPENs of 64 px with random weights, below `base`."""
    for name in CHECKPOINTS.values():
        path = base / "models" / name
        path.parent.mkdir(exist_ok=True)
        if path.parent.name == "gpen":
            torch.save(random_network().state_dict(), path)
        else:
            path.touch()
