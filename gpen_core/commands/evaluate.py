"""`gpen evaluate`: measures how close a model brings degraded faces to clean ones, and for whom."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..names import DEGRADATIONS
from .arguments import positive

if TYPE_CHECKING:
    import argparse

    import torch

    from ..evaluation.scores import Scores
    from ..runner import Runner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen evaluate`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned faces")
    parser.add_argument("--split", help="use only this split of the folder's INDEX.tsv")
    parser.add_argument(
        "--model",
        default="builtin",
        help="a file, or a name that `gpen models` lists (default builtin)",
    )
    parser.add_argument(
        "--degradation",
        default="paper",
        metavar="NAME",
        help=f"how to degrade the faces: {', '.join(DEGRADATIONS)} (default paper)",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=4,
        help="how often to degrade every face (default 4)",
    )
    parser.add_argument(
        "--same-damage",
        action="store_true",
        help="degrade all faces alike, so that groups of faces can be compared",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.tsv",
        help="a table with a column `file`, relative to the folder of faces; faces are also "
        "grouped by each of its other columns, except where it is empty",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE.tsv",
        help="write the scores of every group and every face",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.jpg",
        help="write a contact sheet: degraded | restored | clean",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--dtype", default="auto", help="auto, fp32, bf16, fp16")


def run(args: argparse.Namespace) -> int:
    """Print the scores of all pairs and of each group of faces; return the exit code."""
    from ..degradation.presets import find_preset
    from ..evaluation.report import draw_contact_sheet, format_groups, write_table
    from ..evaluation.scores import DegradationRounds, Scores, score_groups, score_pairs
    from ..media import write_image
    from ..media.formats import find_format
    from ..restore import restore_pixels

    rounds = DegradationRounds(find_preset(args.degradation), args.rounds, args.same_damage)
    if args.sheet:
        find_format(args.sheet)  # refuse a suffix now, not after the work
    for path in (args.table, args.sheet):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    model = _load_model(args)
    files, crops = _read_crops(args, model.config.in_size)
    groupings = _group_faces(args, files, crops)

    def restore(pixels: torch.Tensor) -> torch.Tensor:
        return restore_pixels(model, pixels)

    pairs = score_pairs(restore, crops, rounds=rounds)
    print(Scores.mean(pairs))
    groups: dict[str, dict[str, Scores]] = {}
    for by, names in groupings.items():
        groups[by] = score_groups(pairs, names)
        print("\n" + format_groups(by, groups[by]))
    if args.table:
        by_face = score_groups(pairs, [f"{i:04} {path.name}" for i, path in enumerate(files)])
        write_table(args.table, {"all": {"all": Scores.mean(pairs)}, **groups, "face": by_face})
        print(f"\nscores in {args.table}")
    if args.sheet:
        write_image(args.sheet, draw_contact_sheet(restore, crops, rounds=rounds))
        print(f"contact sheet in {args.sheet}; faces have the numbers of the table")
    return 0


def _load_model(args: argparse.Namespace) -> Runner:
    """Load a model whose output can be compared with its input."""
    from ..checkpoints.loading import load_gpen
    from ..errors import MismatchError

    model = load_gpen(args.model, device=args.device, dtype=args.dtype)
    config = model.config
    if config.in_size != config.out_size:
        raise MismatchError(
            f"{args.model} makes {config.out_size} px of {config.in_size} px. `gpen evaluate` "
            "takes models whose output has the size of their input."
        )
    return model


def _read_crops(args: argparse.Namespace, size: int) -> tuple[list[Path], torch.Tensor]:
    """Return the usable files and their faces, [N, 3, size, size] uint8; report the other files."""
    import torch

    from ..errors import ImageError
    from ..evaluation.face_folder import find_faces
    from ..evaluation.lazy_faces import read_faces

    found = find_faces(args.data, split=args.split)
    files, crops = [], []
    for path, face in zip(found, read_faces(found, size), strict=True):
        if isinstance(face, ImageError):
            print(f"left out {face}", file=sys.stderr)
        else:
            files.append(path)
            crops.append(face)
    if not crops:
        raise ImageError(f"None of the {len(found)} images under {args.data} can be used.")
    return files, torch.stack(crops)


def _group_faces(
    args: argparse.Namespace, files: list[Path], crops: torch.Tensor
) -> dict[str, list[str]]:
    """Return the group of each face in every grouping; "" means none."""
    from ..evaluation.face_folder import group_by_source, group_by_table
    from ..evaluation.measures import name_skin_lightness, skin_lightness

    # One face at a time: all of them as floats would take four times the memory.
    angles = [float(skin_lightness(crop[None].float() / 255)) for crop in crops]
    groupings = {"skin lightness": [name_skin_lightness(angle) for angle in angles]}
    groupings |= group_by_source(args.data, files)
    if args.groups:
        groupings |= group_by_table(args.groups, args.data, files)
    return groupings
