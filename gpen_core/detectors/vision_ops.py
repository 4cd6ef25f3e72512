"""Two operators of torchvision, without importing torchvision.

Importing torchvision takes about as long as importing PyTorch. Its compiled operators are a library
of their own, which loads in milliseconds.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import torch


def roi_align(
    pixels: torch.Tensor, boxes: torch.Tensor, side: int, *, sampling_ratio: int
) -> torch.Tensor:
    """Cut boxes as torchvision's `roi_align` does with `aligned=True`.

    Args:
        pixels: [N, C, H, W].
        boxes: [K, 5] image index and corners in pixels.
        side: side in pixels of the results.
        sampling_ratio: samples along each side of a result's pixel.

    Returns:
        [K, C, side, side].
    """
    load_operators()
    return torch.ops.torchvision.roi_align(pixels, boxes, 1.0, side, side, sampling_ratio, True)


def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, index: torch.Tensor, iou: float
) -> torch.Tensor:
    """Return the rows that greedy non-maximum suppression keeps in each image, best first.

    Args:
        boxes: [K, 4] corners.
        scores: [K].
        index: [K] the image of each box.
        iou: intersection over union above which the box with the lower score is dropped.
    """
    load_operators()
    kept = [
        rows[torch.ops.torchvision.nms(boxes[rows], scores[rows], iou)]
        for rows in ((index == image).nonzero()[:, 0] for image in index.unique())
    ]
    if not kept:
        return index.new_zeros(0)
    rows = torch.cat(kept)
    return rows[scores[rows].argsort(descending=True, stable=True)]


@functools.cache
def load_operators() -> None:
    """Load torchvision's operators, alone if they can be found, else with torchvision."""
    for library in find_libraries():
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        operators = torch.ops.torchvision
        if hasattr(operators, "nms") and hasattr(operators, "roi_align"):
            return
    import torchvision.ops  # noqa: F401  registers the operators


def find_libraries() -> list[Path]:
    """List the files that may hold torchvision's operators; none if it is imported already."""
    spec = None if "torchvision" in sys.modules else importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return []
    # _C.so, in later versions _C_stable.so; on Windows they end in .pyd.
    return sorted(Path(spec.origin).parent.glob("_C*.*"))
