"""Select faces by number, order, size, place and count."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch

from .errors import MismatchError
from .faces import Faces

ORDERS = (
    "as detected", "largest", "left to right", "top to bottom", "score",
    "smallest", "right to left", "bottom to top",
)  # fmt: skip
SIZE_UNITS = ("px", "%")
FIRST_WORDS = {
    "largest": "largest", "smallest": "smallest", "left": "left to right",
    "right": "right to left", "top": "top to bottom", "bottom": "bottom to top", "score": "score",
}  # fmt: skip
"""Short names of orders. Each alone means the first face in that order."""


class IndexRange(NamedTuple):
    """The numbers from `first` to `last`, both included; -1 is the last face of an image."""

    first: int
    last: int

    def holds(self, number: int, count: int) -> bool:
        """Tell whether `number` is in the range, in an image of `count` faces."""
        first, last = (end if end >= 0 else count + end for end in self)
        return first <= number <= last


class Selection(NamedTuple):
    """Row indices into `Faces`, int64 on the CPU.

    Attributes:
        kept: [M] the selected faces, in the requested order.
        remaining: [N − M] the other faces, as detected.
    """

    kept: torch.Tensor
    remaining: torch.Tensor


def select_faces(
    faces: Faces,
    *,
    indices: str = "",
    order: str = "as detected",
    count: int | None = None,
    min_size: float = 0,
    max_size: float | None = None,
    size_unit: str = "px",
    region: torch.Tensor | None = None,
) -> Selection:
    """Select the faces that satisfy every condition.

    Each image numbers its faces from 0 in `order`. The numbers are given before any face is left
    out, so with the order "as detected" they are the numbers that `draw_faces` shows. The result
    goes image by image, so that a video keeps its frames in sequence.

    Args:
        faces: N faces.
        indices: numbers and ranges such as "0, 2-4"; "3-" from 3 on; "-1" is the last face, "-2"
            the one before it; "" selects every face.
        order: one of `ORDERS`.
        count: the most faces per image, counted in `order`; None for any number.
        min_size: the smallest allowed shorter side of a box, in `size_unit`.
        max_size: the largest allowed shorter side of a box; None for any size.
        size_unit: "px", or "%" of the image's shorter side.
        region: a mask for each image [B, 1, H, W] or one mask for all images [1, 1, H, W]. A face
            is selected if the mask is above 0.5 at the centre of its box.

    Raises:
        MismatchError: the indices are not numbers, the order or unit is unknown, or the region has
            another size than the image.
    """
    wanted = parse_indices(indices)
    ranked = _rank(faces, order)
    allowed = _is_size_allowed(faces, min_size, max_size, size_unit)
    if region is not None:
        allowed &= _is_inside(faces, region)
    kept: list[int] = []
    for image in range(faces.image_size[0]):
        rows = [row for row in ranked if int(faces.image_index[row]) == image]
        chosen = [
            row
            for number, row in enumerate(rows)
            if bool(allowed[row])
            and (wanted is None or any(part.holds(number, len(rows)) for part in wanted))
        ]
        kept += chosen[: None if count is None else max(0, count)]
    rest = sorted({*range(len(faces))} - {*kept})
    return Selection(
        torch.tensor(kept, dtype=torch.int64, device="cpu"),
        torch.tensor(rest, dtype=torch.int64, device="cpu"),
    )


def parse_indices(text: str) -> list[IndexRange] | None:
    """Parse numbers and ranges such as "0, 2-4, 7-, -1"; None for an empty text: every face.

    Raises:
        MismatchError: a part is neither a number nor a range.
    """
    ranges = [_parse_range(part) for part in text.replace(",", " ").split()]
    return ranges or None


def choose_faces(faces: Faces, words: str | None) -> Faces:
    """Return the faces that a few words choose in each image, such as "largest" or "left 0-1".

    Args:
        faces: N faces.
        words: see `parse_choice`; None chooses all.

    Raises:
        MismatchError: the words choose no face.
    """
    if words is None:
        return faces
    order, indices = parse_choice(words)
    return faces[select_faces(faces, indices=indices, order=order).kept]


def parse_choice(words: str) -> tuple[str, str]:
    """Parse words that choose faces into an order and indices for `select_faces`.

    Args:
        words: an order and numbers, each of which may be left out: "0,2" are numbers of the faces
            as detected, from large to small; "left 0-1" are the two leftmost faces. An order alone
            means its first face. An order is one of `ORDERS` or of `FIRST_WORDS`.

    Raises:
        MismatchError: they are neither.

    Example:
        >>> from gpen_core.select import parse_choice
        >>> parse_choice("left 0-1")
        ('left to right', '0-1')
        >>> parse_choice("largest")
        ('largest', '0')
    """
    text = " ".join(words.lower().split())
    names = {**FIRST_WORDS, **{order: order for order in ORDERS}}
    for name in sorted(names, key=len, reverse=True):
        if text == name or text.startswith(f"{name} "):
            indices = text.removeprefix(name).strip()
            parse_indices(indices)
            return names[name], indices or "0"
    if parse_indices(text) is None:
        raise MismatchError(
            f"An empty text chooses no face. Name numbers such as 0,2, or one of "
            f"{', '.join(FIRST_WORDS)}."
        )
    return ORDERS[0], text


def _parse_range(part: str) -> IndexRange:
    # More digits than any number of faces has; Python refuses to convert thousands of them.
    match = re.fullmatch(r"(-?\d{1,18})|(\d{1,18})-(\d{1,18})?", part, re.ASCII)
    if match is not None and match[1]:
        return IndexRange(int(match[1]), int(match[1]))
    if match is not None:
        found = IndexRange(int(match[2]), int(match[3] or -1))
        if found.last == -1 or found.first <= found.last:
            return found
    raise MismatchError(
        f"{part[:40]!r} names no face: expected numbers from 0, -1 for the last face, and rising "
        'ranges, such as "0, 2-4, 7-", or an empty text for every face.'
    )


def _rank(faces: Faces, order: str) -> list[int]:
    centres = _find_centres(faces)
    areas = faces.widths * faces.heights
    keys = {
        "as detected": torch.zeros(len(faces), dtype=torch.float32, device="cpu"),
        "largest": -areas,
        "left to right": centres[:, 0],
        "top to bottom": centres[:, 1],
        "score": -faces.scores,
        "smallest": areas,
        "right to left": -centres[:, 0],
        "bottom to top": -centres[:, 1],
    }
    if order not in keys:
        raise MismatchError(f"Unknown order {order!r}; use one of {', '.join(ORDERS)}.")
    return torch.argsort(keys[order], stable=True).tolist()


def _is_size_allowed(
    faces: Faces, min_size: float, max_size: float | None, size_unit: str
) -> torch.Tensor:
    if size_unit not in SIZE_UNITS:
        raise MismatchError(f"Unknown size unit {size_unit!r}; use {' or '.join(SIZE_UNITS)}.")
    sizes = torch.minimum(faces.widths, faces.heights)
    if size_unit == "%":
        sizes = sizes * 100 / min(faces.image_size[1:])
    allowed = sizes >= min_size
    return allowed if max_size is None else allowed & (sizes <= max_size)


def _is_inside(faces: Faces, region: torch.Tensor) -> torch.Tensor:
    batch, height, width = faces.image_size
    if tuple(region.shape) not in {(batch, 1, height, width), (1, 1, height, width)}:
        shape = list(region.shape)
        found = f"the shape {shape}"
        if len(shape) == 4:
            count, _, found_height, found_width = shape
            found = f"{count} mask{'' if count == 1 else 's'} of {found_width}×{found_height}"
        expected = "1 mask" if batch == 1 else f"1 mask, or {batch} (one for each image),"
        raise MismatchError(
            f"The region must have the size of the image: expected {expected} of "
            f"{width}×{height}, found {found}."
        )
    x, y = _find_centres(faces).floor().long().unbind(1)
    image = faces.image_index if region.shape[0] > 1 else torch.zeros_like(faces.image_index)
    values = region[image, 0, y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return values.cpu() > 0.5


def _find_centres(faces: Faces) -> torch.Tensor:
    return (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
