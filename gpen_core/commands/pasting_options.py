"""Options of how `gpen restore` pastes faces, and the value that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .arguments import fraction
from .mask_options import MaskOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import torch

    from ..pasting import PasteOptions
    from ..pasting.parsing import LabelParser


class PastingOptions(MaskOptions, Protocol):
    """The options, as `commands.restore.add_arguments` defines them."""

    strength: float
    strengths: list[float] | None
    detail: float | str
    feather: float | None
    grain: float
    leave_clean: bool


def add_pasting_options(group: argparse._ArgumentGroup) -> None:
    """Add `--leave-clean` and `--grain` to a group of a parser."""
    group.add_argument(
        "--leave-clean", action="store_true",
        help="leave faces as they are that the network hardly changes, because they are clean",
    )  # fmt: skip
    group.add_argument(
        "--grain", metavar="0…1", type=fraction, default=0.0,
        help="how much of the photograph's own grain to lay over restored faces, which would be "
        "too smooth in a noisy photograph (default: 0)",
    )  # fmt: skip


def make_paste_options(
    options: PastingOptions,
    background: torch.Tensor | None,
    regions: Sequence[str],
    parser: LabelParser | None,
) -> PasteOptions:
    """Make the value that `restore_detected` takes.

    Args:
        options: the command's options.
        background: [1, 3, H', W'] the enlarged photograph, if there is one.
        regions: the parts of a face to paste.
        parser: the network that finds them, if the mask needs one.
    """
    from ..pasting import FEATHER, PasteOptions  # imports PyTorch

    return PasteOptions(
        options.detail,
        FEATHER if options.feather is None else options.feather,
        background,
        strength=options.strength,
        strengths=options.strengths,
        mask_kind=options.mask_kind,
        regions=regions,
        parser=parser,
        grain=options.grain,
    )
