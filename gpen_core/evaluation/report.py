"""Reports of an evaluation: a table of scores and a contact sheet."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple
from typing import TYPE_CHECKING

import torch

from ..errors import ImageError
from ..files import write_atomically
from ..preview import draw_label
from ..warp import resize
from .scores import DEFAULT_ROUNDS, SCORE_NAMES, DegradationRounds, Scores

if TYPE_CHECKING:
    from pathlib import Path

    from .scores import Restore

CELL = 256  # px; larger faces are shown at this size
TRIPLES_ACROSS = 3
GAP = 8  # px between triples


def write_table(path: Path, groups: dict[str, dict[str, Scores]]) -> None:
    """Write scores as a table separated by tabs.

    Args:
        path: the file; an existing one is replaced.
        groups: scores by grouping (such as "source") and by group.

    Raises:
        ImageError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(["by", "group", "pairs", *SCORE_NAMES])
    for by, named in groups.items():
        for group, scores in named.items():
            pairs, *values = astuple(scores)
            table.writerow([by, group, pairs, *(f"{value:.4f}" for value in values)])
    try:
        with write_atomically(path, overwrite=True) as scratch:
            scratch.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error}") from error


def format_groups(by: str, groups: dict[str, Scores]) -> str:
    """Return a table to read on a screen, one line per group."""
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
def draw_contact_sheet(
    restore: Restore, crops: torch.Tensor, *, rounds: DegradationRounds = DEFAULT_ROUNDS
) -> torch.Tensor:
    """Draw every face degraded, restored and clean, side by side and numbered from 0.

    Args:
        restore: maps [1, 3, S, S] RGB in [0, 1] to the same shape and range.
        crops: [N, 3, S, S] uint8 RGB, clean.
        rounds: how to degrade them; face i is degraded as in round i mod `rounds.count`.

    Returns:
        [1, 3, H, W] RGB in [0, 1].
    """
    cell = min(CELL, crops.shape[-1])
    rows = -(-len(crops) // TRIPLES_ACROSS)
    across = min(TRIPLES_ACROSS, len(crops))
    sheet = torch.ones(3, rows * (cell + GAP) - GAP, across * (3 * cell + GAP) - GAP)
    for number in range(len(crops)):
        target, degraded = rounds.make_pair(crops, number, number % rounds.count)
        triple = torch.cat([degraded, restore(degraded).cpu(), target])
        strip = torch.cat([*resize(triple, cell, cell).clamp(0, 1)], dim=2)
        draw_label(strip, str(number), 0, 0, 14)
        top = number // TRIPLES_ACROSS * (cell + GAP)
        left = number % TRIPLES_ACROSS * (3 * cell + GAP)
        sheet[:, top : top + cell, left : left + 3 * cell] = strip
    return sheet[None]
