"""What an evaluation leaves to read and to look at: a table of figures and a contact sheet."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple
from typing import TYPE_CHECKING

import torch

from ..errors import ImageError
from ..files import write_atomically
from ..preview import draw_number
from ..warp import resize
from .scores import FIGURES, USUAL_DAMAGE, Damage, Scores

if TYPE_CHECKING:
    from pathlib import Path

    from .scores import Restore

CELL = 256  # px, the largest a face is shown
TRIPLES_ACROSS = 3
GAP = 8  # px between triples


def write_table(path: Path, groups: dict[str, dict[str, Scores]]) -> None:
    """Write scores as a table separated by tabs.

    Args:
        path: replaced if it exists.
        groups: by what faces were grouped, the name of each group, its scores.

    Raises:
        ImageError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(["by", "group", "pairs", *FIGURES])
    for by, named in groups.items():
        for group, scores in named.items():
            pairs, *figures = astuple(scores)
            table.writerow([by, group, pairs, *(f"{figure:.4f}" for figure in figures)])
    try:
        with write_atomically(path, overwrite=True) as scratch:
            scratch.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error}") from error


def format_groups(by: str, groups: dict[str, Scores]) -> str:
    """A table for people: one line for each group."""
    width = max(len(by), *(len(group) for group in groups))
    head = (
        f"{by:{width}}  pairs  PSNR in → out  gain ± error  brow to chin  SSIM in → out  "
        "sharp in → out  noise  drift"
    )
    lines = [
        f"{group:{width}}  {s.pairs:5}  {s.input_psnr:5.2f} → {s.output_psnr:5.2f}  "
        f"{s.output_psnr - s.input_psnr:+5.2f} ± {s.gain_error:4.2f}  "
        f"{s.output_face_psnr - s.input_face_psnr:+5.2f} ± {s.face_gain_error:4.2f}  "
        f"{s.input_ssim:.3f} → {s.output_ssim:.3f}  {s.input_sharpness:5.0%} → "
        f"{s.output_sharpness:5.0%}   {s.output_noise:5.2f}  {s.worst_drift:+5.2f}"
        for group, s in groups.items()
    ]
    return "\n".join([head, *lines])


@torch.inference_mode()
def contact_sheet(
    restore: Restore, faces: torch.Tensor, *, damage: Damage = USUAL_DAMAGE
) -> torch.Tensor:
    """Show every face degraded, restored and clean, side by side and numbered from 0.

    Args:
        restore: takes and gives [1, 3, S, S] RGB in [0, 1].
        faces: [N, 3, S, S] uint8 RGB. Face i is shown as round i mod `damage.rounds` degrades it.
        damage: how they are degraded.

    Returns:
        [1, 3, H, W] RGB in [0, 1].
    """
    cell = min(CELL, faces.shape[-1])
    rows = -(-len(faces) // TRIPLES_ACROSS)
    across = min(TRIPLES_ACROSS, len(faces))
    sheet = torch.ones(3, rows * (cell + GAP) - GAP, across * (3 * cell + GAP) - GAP)
    for number in range(len(faces)):
        target, degraded = damage.pair(faces, number, number % damage.rounds)
        triple = torch.cat([degraded, restore(degraded).cpu(), target])
        strip = torch.cat([*resize(triple, cell, cell).clamp(0, 1)], dim=2)
        draw_number(strip, number, 0, 0, 2)
        top = number // TRIPLES_ACROSS * (cell + GAP)
        left = number % TRIPLES_ACROSS * (3 * cell + GAP)
        sheet[:, top : top + cell, left : left + 3 * cell] = strip
    return sheet[None]
