"""`gpen inspect`, `convert`, `mix`, `models` and `download`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..names import DTYPES
from .arguments import sharpen_amount

if TYPE_CHECKING:
    import argparse


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `gpen inspect`."""
    parser.add_argument("file", help="a .pth, .pt or .safetensors file, or a name of `gpen models`")


def inspect(args: argparse.Namespace) -> int:
    """Print what a checkpoint file holds."""
    from ..checkpoints import catalog
    from ..checkpoints.loading import read_checkpoint

    print(read_checkpoint(catalog.resolve(args.file)).describe())
    return 0


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `gpen convert`."""
    parser.add_argument("source", metavar="IN", help="a checkpoint, or a name of `gpen models`")
    parser.add_argument("target", metavar="OUT.safetensors", help="the file to write")
    parser.add_argument(
        "--sharpen",
        type=sharpen_amount,
        metavar="AMOUNT",
        help="of an unsharp mask on what the network restores, where it changed the face; the file "
        "says so from then on (0 ends it; kept if not given)",
    )
    _add_storing_arguments(parser, otherwise="kept if not given")


def convert(args: argparse.Namespace) -> int:
    """Write a checkpoint as .safetensors."""
    from ..checkpoints.loading import convert_checkpoint

    path = convert_checkpoint(
        args.source,
        args.target,
        dtype=args.dtype,
        sharpen=args.sharpen,
        overwrite=args.overwrite,
    )
    print(f"{args.source} → {path} ({path.stat().st_size:,} bytes)")
    return 0


def add_mix_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `gpen mix`."""
    parser.add_argument(
        "sources", metavar="IN", nargs="+", help="checkpoints of one network, or names"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT.safetensors", help="the file to write"
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="how much of each, 1 in all; equal ones if not given",
    )
    _add_storing_arguments(parser, otherwise="if not given, as the first file does")


def mix(args: argparse.Namespace) -> int:
    """Write the weighted mean of checkpoints."""
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


def _add_storing_arguments(parser: argparse.ArgumentParser, *, otherwise: str) -> None:
    parser.add_argument("--dtype", choices=DTYPES, help=f"store weights so; {otherwise}")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """`gpen models` has no options."""


def models(args: argparse.Namespace) -> int:
    """List the catalogue: what each file is, whether it is here, and where it is published."""
    from ..checkpoints import catalog

    for entry in catalog.entries():
        here = catalog.locate(entry.name)
        size = f", {entry.bytes:,} bytes" if entry.bytes is not None else ""
        print(f"{entry.name}  ({entry.kind}{size})")
        print(f"    {entry.about}")
        print(f"    {'here: ' + str(here) if here else 'not here'}")
        if entry.url:
            print(f"    {entry.url}")
        if entry.sha256:
            print(f"    sha256 {entry.sha256}")
        print(f"    licence: {entry.licence}")
    folders = ", ".join(str(folder) for folder in catalog.search_folders())
    print(f"\nLooked for in {folders}.\n`gpen download NAME` fetches one; nothing else ever does.")
    return 0


def add_download_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `gpen download`."""
    parser.add_argument("name", metavar="NAME", help="a name of `gpen models`")
    parser.add_argument(
        "--folder", type=Path, help="where to; $GPEN_WEIGHTS or the user's cache if not given"
    )


def download(args: argparse.Namespace) -> int:
    """Fetch known weights and verify them."""
    from tqdm import tqdm

    from ..checkpoints import catalog

    entry = catalog.find(args.name)
    print(f"{entry.name}: licence {entry.licence}", file=sys.stderr)
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:

        def on_progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = catalog.download(args.name, args.folder, on_progress=on_progress)
    print(path)
    return 0
