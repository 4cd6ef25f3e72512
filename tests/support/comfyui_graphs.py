"""Graphs in API format for a real ComfyUI, and functions that read their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from comfyui_pictures import load_astronaut
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from pathlib import Path

    from comfyui_host import ComfyUI

PASTE_DEFAULTS = {"feather": 0.15, "detail": "auto"}
DETECT_DEFAULTS = {
    "threshold": 0.0, "min_size": 0, "max_faces": 0, "crop_size": "from model", "template": "gpen",
}  # fmt: skip


def put_photo(host: ComfyUI) -> str:
    """Put a photograph into ComfyUI's input folder; return its file name."""
    load_astronaut().save(host.base / "input" / "astronaut.png")
    return "astronaut.png"


def build_graph(**nodes) -> dict:
    """Build an API-format graph from `id=(class, inputs)`."""
    return {
        key: {"class_type": kind, "inputs": {**inputs}} for key, (kind, inputs) in nodes.items()
    }


def build_four_nodes(image: str, *, strength: float = 1.0, threshold: float = 0.0) -> dict:
    return build_graph(
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


def build_one_node(image: str, **inputs) -> dict:
    return build_graph(
        load=("LoadImage", {"image": image}),
        model=("LoadGPEN", {"file": "built-in (256)", "dtype": "auto"}),
        restore=(
            "GPENRestoreImage",
            {"image": ["load", 0], "model": ["model", 0], "strength": 1.0, **inputs},
        ),
        save=("SaveImage", {"images": ["restore", 0], "filename_prefix": "one"}),
        mask=("MaskPreview", {"mask": ["restore", 1]}),
    )


def read_pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def find_outside(mask: Path) -> np.ndarray:
    """Return where a mask is zero, with a margin for values too small for its 8-bit preview."""
    return np.asarray(Image.open(mask).convert("L").filter(ImageFilter.MaxFilter(15))) == 0
