"""Option types and error texts that several subcommands share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from .. import urls
from ..errors import GPENError
from ..names import WRITABLE


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of reading and writing image files."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument(
        "--skip-existing", action="store_true", help="leave out inputs whose result exists"
    )
    parser.add_argument(
        "--ext",
        metavar="EXT",
        type=image_suffix,
        help=f"write all results in a folder as this kind: {', '.join(WRITABLE)} (default: as the "
        "input is named)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse damaged files instead of using as much as can be decoded",
    )
    parser.add_argument(
        "--allow-large",
        action="store_true",
        help="open images of more than 178 megapixels, and say how much memory they take",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON for each file, and one of all counts, for scripts",
    )


def image_suffix(text: str) -> str:
    """Parse the suffix of a kind of image that is written, with or without its dot."""
    suffix = f".{text.lower().removeprefix('.')}"
    if suffix not in WRITABLE:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(WRITABLE)}, found {text}")
    return suffix


def local_path(text: str) -> Path:
    """Parse the path of something that cannot lie in a store."""
    name = urls.strip_file_scheme(text)
    if urls.is_url(name):
        raise argparse.ArgumentTypeError(
            f"must be a local path, found {text}: it is changed while it is read, which a store of "
            "whole files cannot do"
        )
    return Path(name)


def positive(text: str) -> int:
    """Parse a whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def count(text: str) -> int:
    """Parse a whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def not_negative(text: str) -> float:
    """Parse a finite number, 0 or more."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def widths(text: str) -> tuple[int, ...]:
    """Parse whole numbers, each 1 or more, separated by commas."""
    return tuple(positive(part) for part in text.split(","))


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    return _parse_up_to(1, text)


def sharpen_amount(text: str) -> float:
    """Parse a value of `GPEN.sharpen` that a checkpoint may hold, 0 to 100."""
    return _parse_up_to(100, text)


def _parse_up_to(maximum: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= maximum:
        raise argparse.ArgumentTypeError(f"must lie in 0 … {maximum}, found {text}")
    return value


def explain(error: Exception, *, out_of_memory: str) -> str | None:
    """Explain an error that a file caused; return None for any other error, which is a defect.

    Args:
        error: the exception.
        out_of_memory: what to try if memory ran out.
    """
    from ..devices import is_out_of_memory  # imports PyTorch

    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return f"memory ran out; {out_of_memory}"
    return str(error) if isinstance(error, (GPENError, OSError)) else None


def add_name(name: str, reason: str) -> str:
    """Put the name of a file before a reason, unless the reason begins with it already."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
