"""Options of the mask with which `gpen restore` pastes faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..names import AUTO, FACE_REGIONS, MASK_KINDS, PARSERS, REGIONS

if TYPE_CHECKING:
    import argparse

    import torch

    from ..pasting.parsing import LabelParser


class MaskOptions(Protocol):
    """The options, as `add_mask_options` defines them."""

    mask_kind: str
    regions: str | None
    parser: str | None


def add_mask_options(group: argparse._ArgumentGroup) -> None:
    """Add the options to a group of a parser."""
    group.add_argument(
        "--mask-kind", choices=MASK_KINDS, default=MASK_KINDS[0],
        help="where the restored face is pasted: box, most of the crop; oval, the face alone; "
        "parse, its parts, found by a face parser (default: box)",
    )  # fmt: skip
    group.add_argument(
        "--regions", metavar="NAMES",
        help=f"what --mask-kind parse pastes, some of {', '.join(REGIONS)} (default: "
        f"{','.join(FACE_REGIONS)})",
    )  # fmt: skip
    group.add_argument(
        "--parser", metavar="NAME|FILE",
        help=f"the face parser of --mask-kind parse: {', '.join((AUTO, *PARSERS))} or its file "
        "(default: auto, the first whose file is found)",
    )  # fmt: skip


def check_mask_options(options: MaskOptions) -> None:
    """Raise GPENError for regions or a parser without `--mask-kind parse`."""
    given = [name for name in ("regions", "parser") if getattr(options, name) is not None]
    if given and options.mask_kind != "parse":
        raise GPENError(f"--{given[0]} has no effect without --mask-kind parse.")


def choose_regions(options: MaskOptions) -> tuple[str, ...]:
    """Return the regions to paste.

    Raises:
        MismatchError: a region is unknown.
    """
    from ..pasting.parsing import parse_regions  # imports PyTorch

    return FACE_REGIONS if options.regions is None else parse_regions(options.regions)


def load_chosen_parser(options: MaskOptions, device: str | torch.device) -> LabelParser | None:
    """Load the face parser if the mask needs one.

    Raises:
        GPENError: its file is missing or cannot be used.
    """
    from ..pasting.parsing import load_parser

    if options.mask_kind != "parse":
        return None
    name = AUTO if options.parser is None else options.parser
    if name in (AUTO, *PARSERS):
        return load_parser(name, device=device)
    return load_parser(device=device, weights=name)
