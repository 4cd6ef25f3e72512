"""Measures `leave_clean`: what clean faces keep, and what damaged ones lose by it.

    python benchmarks/fidelity.py clean [FACE…]

The results are in NOTES.md, section Clean faces. A face is a sharp aligned crop; without names, the
photographs of `../shared/faces/clean` that no model was trained on. Each is shrunk until the face,
which is about half as wide as the crop, has a given width, damaged there, and enlarged to the crop
of the built-in model.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch
from damages import DAMAGES, blur
from detectors import SHARED

import gpen_core as gpen
from gpen_core.restore import restore_pixels, weigh_faces
from gpen_core.warp import resize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpen_core.runner import Runner

WIDTHS = (60, 100, 125)
"""Widths of faces in pixels. A wider one fills the built-in model's crop."""
KEPT = 40.0
"""PSNR in dB against the given face from which it counts as kept."""
EVERY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **DAMAGES,
    "blur 1.5": lambda face: blur(face, 1.5),
}


def measure_clean(paths: list[Path]) -> list[list[list[str]]]:
    """Return two tables: clean faces, and damaged ones."""
    model = gpen.load_gpen("builtin", device="cpu")
    files = paths or _list_faces()
    faces = [gpen.read_image(path) for path in files]
    clean = [["width", "changes, levels: 10 %, median, 90 %", f"kept with {KEPT:.0f} dB or more"]]
    damaged = [["width", "damage", "changes: 10 %, median, 90 %", "damaged, dB", "1, dB",
                "leave_clean, dB", "loss, dB"]]  # fmt: skip
    for width in WIDTHS:
        small = [resize(face, 2 * width, 2 * width).clamp(0, 1) for face in faces]
        results = [_restore(model, face, face) for face in small]
        kept = sum(result[3] >= KEPT for result in results)
        clean.append([f"{width} px", _spread(results), f"{kept} of {len(results)}"])
        for name, damage in EVERY.items():
            results = [_restore(model, damage(face), face) for face in small]
            given, whole, left = (
                statistics.mean(result[place] for result in results) for place in (1, 2, 4)
            )
            figures = [f"{value:.2f}" for value in (given, whole, left, whole - left)]
            damaged.append([f"{width} px", name, _spread(results), *figures])
    return [clean, damaged]


def _list_faces() -> list[Path]:
    folder = SHARED / "faces"
    rows = [line.split("\t") for line in (folder / "INDEX.tsv").read_text("utf-8").splitlines()]
    return [folder / row[0] for row in rows if row[-1] == "val"]


def _restore(
    model: Runner, given: torch.Tensor, truth: torch.Tensor
) -> tuple[float, float, float, float, float]:
    """Return the change in levels, and dB: given, restored, kept of the given, with leave_clean.

    All but the third compare with the truth.
    """
    side = model.config.in_size
    given, truth = (resize(face, side, side).clamp(0, 1) for face in (given, truth))
    restored = restore_pixels(model, given, colour="match")
    share, change = weigh_faces(model, restored, given, "match")
    left = given.lerp(restored, share[:, None, None, None])
    compare = ((given, truth), (restored, truth), (left, given), (left, truth))
    return (float(change), *(_psnr(*pair) for pair in compare))


def _psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean().clamp(min=1e-10)))


def _spread(results: list[tuple[float, float, float, float, float]]) -> str:
    changes = torch.tensor([result[0] for result in results])
    low, middle, high = changes.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    return f"{low:.1f}, {middle:.1f}, {high:.1f}"
