"""Options of finding faces, for every command that finds some."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..names import AUTO, DETECTORS, REFINE, TEMPLATES, TURNS
from .arguments import fraction, not_negative, positive

if TYPE_CHECKING:
    import torch

    from ..detectors import Detector
    from ..faces import Faces


class FindOptions(Protocol):
    """The options, as `add_find_options` defines them."""

    detector: str
    detector_weights: str | None
    threshold: float | None
    min_size: float
    max_faces: int | None
    faces: str | None
    template: str
    min_face: float
    turns: str
    refine: str


def add_find_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options to a parser; return their group."""
    find = parser.add_argument_group("finding faces")
    find.add_argument(
        "--detector", choices=(AUTO, *DETECTORS), default=AUTO,
        help="the face detector (default: auto, the first of the others whose file or package is "
        "found)",
    )  # fmt: skip
    find.add_argument("--detector-weights", metavar="FILE", help="the file of the detector")
    find.add_argument(
        "--threshold", metavar="0…1", type=fraction,
        help="lowest score of a face (default: depends on the detector)",
    )  # fmt: skip
    find.add_argument(
        "--min-size", metavar="PX", type=not_negative, default=0,
        help="ignore faces with a box side below PX",
    )  # fmt: skip
    find.add_argument(
        "--max-faces", metavar="N", type=positive,
        help="restore only the N largest faces of each image",
    )  # fmt: skip
    find.add_argument(
        "--faces", metavar="WORDS", type=_parse_faces,
        help="restore only these faces of each image: numbers from 0, from large to small, such as "
        "0,2; or largest, smallest, left, right, top, bottom, score; or both: 'left 0-1' (default: "
        "all)",
    )  # fmt: skip
    find.add_argument(
        "--template", choices=(AUTO, *TEMPLATES), default=AUTO,
        help="where the face lies in the crop; ffhq cuts closer (default: auto, as the model was "
        "trained: gpen for GPEN, ffhq for other networks)",
    )  # fmt: skip
    find.add_argument(
        "--min-face", metavar="PX", type=not_negative, default=0,
        help="look for faces down to PX; below about 25 the image is searched enlarged, too, which "
        "takes 4 to 16 times as long (default: what the detector finds without)",
    )  # fmt: skip
    find.add_argument(
        "--turns", choices=TURNS, default=TURNS[0],
        help="auto: search an image that lies on its side or upside down in its right turn; never: "
        "search it as it is; always: search all four turns, for people who lie down, too (default: "
        "auto)",
    )  # fmt: skip
    find.add_argument(
        "--refine", choices=REFINE, default=REFINE[0],
        help="look at each face again to place its landmarks more steadily: auto, for models of "
        "512 px and more; on; off (default: auto)",
    )  # fmt: skip
    return find


FIND_DEFAULTS = {
    "detector": AUTO, "detector_weights": None, "threshold": None, "min_size": 0,
    "max_faces": None, "faces": None, "template": AUTO, "min_face": 0, "turns": TURNS[0],
    "refine": REFINE[0],
}  # fmt: skip


def find_chosen_faces(
    detector: Detector, image: torch.Tensor, options: FindOptions, size: int
) -> Faces:
    """Find the faces of an image [B, 3, H, W] as the options say, for crops of `size` pixels."""
    from ..pipeline import find_faces  # imports PyTorch

    return find_faces(
        detector,
        image,
        size,
        threshold=options.threshold,
        min_size=options.min_size,
        min_face=options.min_face,
        turns=options.turns,
        refine=options.refine,
    )


def _parse_faces(text: str) -> str:
    from ..select import parse_choice  # imports PyTorch

    try:
        parse_choice(text)
    except GPENError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
