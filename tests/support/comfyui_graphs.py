"""Graphs in API format that tests send to a real ComfyUI, and reading what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from comfyui_pictures import astronaut
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from pathlib import Path

    from comfyui_host import ComfyUI

PASTE_DEFAULTS = {"feather": 0.15, "detail": "auto"}
DETECT_DEFAULTS = {
    "threshold": 0.0, "min_size": 0, "max_faces": 0, "crop_size": "from model", "template": "gpen",
}  # fmt: skip


def put_photo(host: ComfyUI) -> str:
    """Puts a photograph into ComfyUI's input folder; returns its name."""
    astronaut().save(host.base / "input" / "astronaut.png")
    return "astronaut.png"


def graph(**nodes) -> dict:
    """An API-format graph from `id=(class, inputs)`."""
    return {
        key: {"class_type": kind, "inputs": {**inputs}} for key, (kind, inputs) in nodes.items()
    }


def four_nodes(image: str, *, strength: float = 1.0, threshold: float = 0.0) -> dict:
    return graph(
        load=("LoadImage", {"image": image}),
        model=("LoadGPEN", {"file": "built-in (256)", "dtype": "auto"}),
        detect=(
            "GPENDetectFaces",
            {
                "image": ["load", 0], "model": ["model", 0],
                **DETECT_DEFAULTS, "threshold": threshold,
            },
        ),
        restore=(
            "GPENRestoreFaces",
            {
                "model": ["model", 0], "crops": ["detect", 1], "strength": strength,
                "batch_size": 0,
            },
        ),
        paste=(
            "GPENPasteBack",
            {
                "image": ["load", 0], "faces": ["detect", 0], "crops": ["restore", 0],
                **PASTE_DEFAULTS,
            },
        ),
        save=("SaveImage", {"images": ["paste", 0], "filename_prefix": "four"}),
        mask=("MaskPreview", {"mask": ["paste", 1]}),
    )  # fmt: skip


def one_node(image: str, **inputs) -> dict:
    return graph(
        load=("LoadImage", {"image": image}),
        model=("LoadGPEN", {"file": "built-in (256)", "dtype": "auto"}),
        restore=(
            "GPENRestoreImage",
            {"image": ["load", 0], "model": ["model", 0], "strength": 1.0, **inputs},
        ),
        save=("SaveImage", {"images": ["restore", 0], "filename_prefix": "one"}),
        mask=("MaskPreview", {"mask": ["restore", 1]}),
    )


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def outside_of(mask: Path) -> np.ndarray:
    """Where a mask is zero, and not only too small for the 8 bits of its preview."""
    return np.asarray(Image.open(mask).convert("L").filter(ImageFilter.MaxFilter(15))) == 0
