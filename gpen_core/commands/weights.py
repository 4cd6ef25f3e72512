"""`gpen inspect`, `convert`, `export`, `mix`, `models`, `download`: the commands about weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..names import DTYPES, EXPORT_DTYPES
from .arguments import sharpen_amount

if TYPE_CHECKING:
    import argparse


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen inspect`."""
    parser.add_argument(
        "file", help="a .pth, .pt, .safetensors or .onnx file, or a name that `gpen models` lists"
    )


def inspect(args: argparse.Namespace) -> int:
    """Print a description of a checkpoint file; return the exit code."""
    from ..checkpoints import catalog
    from ..checkpoints.describing import describe_file

    print(describe_file(catalog.resolve(args.file)))
    return 0


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen convert`."""
    parser.add_argument(
        "source", metavar="IN", help="a checkpoint file, or a name that `gpen models` lists"
    )
    parser.add_argument("target", metavar="OUT.safetensors", help="the file to write")
    parser.add_argument(
        "--sharpen",
        type=sharpen_amount,
        metavar="AMOUNT",
        help="store this amount of sharpening, 0 to 100, in the file: restored faces then get an "
        "unsharp mask where the network changed them (0: none; default: that of IN)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare an ONNX file with ONNX Runtime, say the difference, and write nothing if it "
        "is too large",
    )
    _add_storing_arguments(parser, default="each weight keeps that of IN")


def convert(args: argparse.Namespace) -> int:
    """Write a checkpoint as .safetensors; return the exit code."""
    from ..checkpoints.converting import convert_checkpoint, verify_checkpoint

    if args.verify:
        difference = verify_checkpoint(args.source)
        print(f"{args.source}: run by ONNX Runtime, it differs by {difference:.1g}.")
    path = convert_checkpoint(
        args.source,
        args.target,
        dtype=args.dtype,
        sharpen=args.sharpen,
        overwrite=args.overwrite,
    )
    print(f"{args.source} → {path} ({path.stat().st_size:,} bytes)")
    return 0


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen export`."""
    parser.add_argument(
        "source", metavar="MODEL", help="a checkpoint file, or a name that `gpen models` lists"
    )
    parser.add_argument("target", metavar="OUT.onnx", help="the file to write")
    parser.add_argument(
        "--dtype",
        choices=EXPORT_DTYPES,
        default=EXPORT_DTYPES[0],
        help="dtype of the convolutions and their weights (default: fp32)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def export(args: argparse.Namespace) -> int:
    """Write a checkpoint as .onnx, checked by ONNX Runtime; return the exit code."""
    from ..checkpoints.exporting import export_onnx

    differences = export_onnx(args.source, args.target, dtype=args.dtype, overwrite=args.overwrite)
    size = Path(args.target).stat().st_size
    faces = ", ".join(map(str, differences))
    print(
        f"{args.source} → {args.target} ({size:,} bytes). Run by ONNX Runtime with {faces} faces, "
        f"it differs from the network by {max(differences.values()):.1g}."
    )
    return 0


def add_mix_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen mix`."""
    parser.add_argument(
        "sources",
        metavar="IN",
        nargs="+",
        help="two or more checkpoints of one configuration: files, or names that `gpen models` "
        "lists",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT.safetensors", help="the file to write"
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="the weight of each IN; their sum is 1 (default: equal weights)",
    )
    _add_storing_arguments(parser, default="that of the first IN")


def mix(args: argparse.Namespace) -> int:
    """Write the weighted mean of checkpoints; return the exit code."""
    from ..checkpoints.mixing import mix_checkpoints

    path = mix_checkpoints(
        args.sources,
        args.output,
        shares=args.shares,
        dtype=args.dtype,
        overwrite=args.overwrite,
    )
    print(f"{' + '.join(args.sources)} → {path} ({path.stat().st_size:,} bytes)")
    return 0


def _add_storing_arguments(parser: argparse.ArgumentParser, *, default: str) -> None:
    parser.add_argument(
        "--dtype", choices=DTYPES, help=f"dtype of the weights in the file (default: {default})"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: `gpen models` has no options."""


def models(args: argparse.Namespace) -> int:
    """Print the catalogue: each file, where it is on this disk, and where it is published."""
    from ..checkpoints import catalog

    for entry in catalog.entries():
        file = catalog.locate(entry.name)
        size = f", {entry.bytes:,} bytes" if entry.bytes is not None else ""
        print(f"{entry.name}  ({entry.kind}{size})")
        print(f"    {entry.about}")
        print(f"    {'file: ' + str(file) if file else 'file: not found'}")
        if entry.url:
            print(f"    {entry.url}")
        if entry.sha256:
            print(f"    sha256 {entry.sha256}")
        print(f"    licence: {entry.licence}")
    folders = ", ".join(str(folder) for folder in catalog.search_folders())
    print(f"\nSearched folders: {folders}.\nOnly `gpen download NAME` downloads files.")
    return 0


def add_download_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen download`."""
    parser.add_argument("name", metavar="NAME", help="a name that `gpen models` lists")
    parser.add_argument(
        "--folder",
        type=Path,
        help="the target folder (default: $GPEN_WEIGHTS if it is set, else the user's cache)",
    )


def download(args: argparse.Namespace) -> int:
    """Download known weights, verify them, and print the path; return the exit code."""
    from tqdm import tqdm

    from ..checkpoints import catalog

    entry = catalog.find(args.name)
    print(f"{entry.name}: licence: {entry.licence}", file=sys.stderr)
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:

        def on_progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = catalog.download(args.name, args.folder, on_progress=on_progress)
    print(path)
    return 0
