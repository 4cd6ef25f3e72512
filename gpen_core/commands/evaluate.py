"""`gpen evaluate`: how near to the clean faces a model brings degraded ones, and for whom."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen evaluate`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned faces")
    parser.add_argument("--split", help="keep this split of the folder's INDEX.tsv")
    parser.add_argument("--model", default="builtin", help="file or catalogue name")
    parser.add_argument(
        "--degradation",
        default="paper",
        metavar="NAME",
        help=f"{', '.join(DEGRADATIONS)} (default paper)",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=4,
        help="how often every face is degraded (default 4)",
    )
    parser.add_argument(
        "--same-damage",
        action="store_true",
        help="degrade every face alike, so that groups of faces can be compared",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.tsv",
        help="a table with a column `file`, relative to the folder, and others: faces are also "
        "grouped by each of those, where it is not empty",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE.tsv",
        help="write the figures of every group and every face",
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
    """Print the scores of all pairs and of each group of faces; return the exit status."""
    from ..checkpoints.loading import load_gpen
    from ..degradation.presets import find_preset
    from ..errors import MismatchError
    from ..evaluation.report import contact_sheet, format_groups, write_table
    from ..evaluation.scores import Damage, Scores, group_scores, score_pairs
    from ..media import write_image
    from ..media.formats import find_format
    from ..restore import restore_pixels

    damage = Damage(find_preset(args.degradation), args.rounds, args.same_damage)
    if args.sheet:
        find_format(args.sheet)  # refuses the suffix now, not after the work
    for path in (args.table, args.sheet):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    model = load_gpen(args.model, device=args.device, dtype=args.dtype)
    config = model.config
    if config.in_size != config.out_size:
        raise MismatchError(
            f"{args.model} makes {config.out_size} px of {config.in_size} px; faces are compared "
            "with those that a network puts out at the size it takes in."
        )
    files, faces = _read(args, config.in_size)
    grouped = _groups(args, files, faces)

    def restore(images: torch.Tensor) -> torch.Tensor:
        return restore_pixels(model, images)

    pairs = score_pairs(restore, faces, damage=damage)
    print(Scores.mean(pairs))
    groups: dict[str, dict[str, Scores]] = {}
    for by, names in grouped.items():
        groups[by] = group_scores(pairs, names)
        print("\n" + format_groups(by, groups[by]))
    if args.table:
        by_face = group_scores(pairs, [f"{i:04} {path.name}" for i, path in enumerate(files)])
        write_table(args.table, {"all": {"all": Scores.mean(pairs)}, **groups, "face": by_face})
        print(f"\nfigures in {args.table}")
    if args.sheet:
        write_image(args.sheet, contact_sheet(restore, faces, damage=damage))
        print(f"contact sheet in {args.sheet}; numbers as in the table's faces")
    return 0


def _read(args: argparse.Namespace, size: int) -> tuple[list[Path], torch.Tensor]:
    """The usable files and their faces; the others are named."""
    import torch

    from ..errors import ImageError
    from ..evaluation.face_folder import find_faces
    from ..evaluation.lazy_faces import read_faces

    found = find_faces(args.data, split=args.split)
    files, faces = [], []
    for path, face in zip(found, read_faces(found, size), strict=True):
        if isinstance(face, ImageError):
            print(f"left out {face}", file=sys.stderr)
        else:
            files.append(path)
            faces.append(face)
    if not faces:
        raise ImageError(f"None of the {len(found)} images under {args.data} can be used.")
    return files, torch.stack(faces)


def _groups(
    args: argparse.Namespace, files: list[Path], faces: torch.Tensor
) -> dict[str, list[str]]:
    """By what faces are grouped, and the group of each face, "" for those in none."""
    from ..evaluation.face_folder import read_index
    from ..evaluation.measures import skin_lightness
    from ..evaluation.scores import lightness_group

    # One by one: as floats all of them would take four times the memory.
    angles = [float(skin_lightness(face[None].float() / 255)) for face in faces]
    groups = {"skin lightness": [lightness_group(angle) for angle in angles]}
    index = read_index(args.data)
    sources = [index.get(path.absolute(), {}).get("source") for path in files]
    if any(sources):
        groups["source"] = [source or "unknown" for source in sources]
    if args.groups:
        groups |= _table_groups(args, files)
    return groups


def _table_groups(args: argparse.Namespace, files: list[Path]) -> dict[str, list[str]]:
    """As `_groups`, what the table of `--groups` says."""
    from ..errors import ImageError
    from ..evaluation.face_folder import read_table

    table = read_table(args.groups, args.data)
    rows = [table.get(path.absolute(), {}) for path in files]
    columns = sorted({column for row in rows for column in row if column and row[column]})
    groups = {by: [row.get(by) or "" for row in rows] for by in columns if by != "file"}
    if not groups:
        raise ImageError(
            f"{args.groups} puts none of the {len(files)} faces of {args.data} in a group: its "
            "column `file` must name them relative to that folder, and another one tell groups."
        )
    return groups
