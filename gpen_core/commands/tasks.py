"""`gpen colorize`, `gpen inpaint` and `gpen segment-to-face`: the other tasks of GPEN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_file_options, fraction
from .find_options import add_find_options
from .jobs import plan_from_options
from .restore import add_model_options
from .running import report, run_jobs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from .jobs import FileOptions
    from .running import Work
    from .task_files import ColorizeOptions, InpaintOptions, SegmentOptions

MASK_HELP = "an image file for all inputs, or a folder with a file of each input's name"


def add_colorize_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen colorize`."""
    _add_shared(parser, "GPEN-Colorization-1024")
    add_find_options(parser)
    result = parser.add_argument_group("result")
    result.add_argument(
        "--strength", metavar="0…1", type=fraction, default=1.0,
        help="how much of the new colour to use (default: 1)",
    )  # fmt: skip
    result.add_argument(
        "--spread", metavar="MASK",
        help="spread the colours of each face's whole crop over the white of this mask, so that "
        f"the crop's border does not show: {MASK_HELP}",
    )  # fmt: skip


def add_inpaint_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen inpaint`."""
    _add_shared(parser, "GPEN-Inpainting-1024")
    add_find_options(parser)
    result = parser.add_argument_group("holes")
    result.add_argument(
        "--mask", metavar="MASK",
        help=f"white is a hole: {MASK_HELP} (default: the transparent pixels of each input)",
    )  # fmt: skip


def add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen segment-to-face`."""
    _add_shared(parser, "GPEN-Seg2face-512")
    result = parser.add_argument_group("map")
    result.add_argument(
        "--nearest", action="store_true",
        help="replace colours outside the palette by the nearest of it, instead of refusing them",
    )  # fmt: skip


def _add_shared(parser: argparse.ArgumentParser, model: str) -> None:
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="image files, folders or patterns such as *.jpg"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, required=True,
        help="a file if there is one input file, else a folder",
    )  # fmt: skip
    add_file_options(parser)
    add_model_options(parser, model)


def colorize(args: ColorizeOptions) -> int:
    """Colourise every file, report those that fail, and return the exit code."""

    def load() -> Work:
        from .task_files import Colorizer  # imports PyTorch

        return Colorizer(args, report).restore

    return _run(args, load)


def inpaint(args: InpaintOptions) -> int:
    """Fill the holes of every file, report those that fail, and return the exit code."""

    def load() -> Work:
        from .task_files import Inpainter  # imports PyTorch

        return Inpainter(args, report).restore

    return _run(args, load)


def segment_to_face(args: SegmentOptions) -> int:
    """Paint a face from every map, report those that fail, and return the exit code."""

    def load() -> Work:
        from .task_files import FacePainter  # imports PyTorch

        return FacePainter(args, report).restore

    return _run(args, load)


def _run(args: FileOptions, load: Callable[[], Work]) -> int:
    jobs, problems = plan_from_options(args)
    return run_jobs(jobs, problems, load, as_json=args.json)
