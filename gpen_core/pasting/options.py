"""The user's choices for pasting, checked against the image before any work starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import MismatchError
from ..images import check_mask, check_range, check_shape
from ..names import FACE_REGIONS, MASK_KINDS
from .parsing import check_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .parsing import FaceParser

FEATHER = 0.15
"""Default width of the mask's slope, in crop sides."""


@dataclass(frozen=True, eq=False)
class PasteOptions:
    """How crops are pasted. `paste` explains each field for users.

    Attributes:
        detail: weight of the photograph's fine detail, 0 … 1, or "auto".
        feather: width of the mask's slope as a part of its width, above 0 and at most 0.5.
        background: [B, 3, H', W'] the enlarged images, or None to paste into the images themselves.
        limit: [B or 1, 1, H, W] mask in [0, 1], or None.
        strength: 0 … 1, the weight of the crops against the background.
        strengths: one strength for each crop instead, in the order in which they are pasted.
        mask_kind: "box", "oval" or "parse".
        regions: what "parse" pastes, some of `names.REGIONS`.
        parser: finds these regions; needed for "parse" only.
        crop_masks: [N, 1, s, s] in [0, 1], one for each crop in the same order, or None.
        grain: 0 … 1, how much of the photograph's grain a face gets that it lacks.
    """

    detail: float | str = "auto"
    feather: float = FEATHER
    background: torch.Tensor | None = None
    limit: torch.Tensor | None = None
    strength: float = 1.0
    strengths: Sequence[float] | None = None
    mask_kind: str = MASK_KINDS[0]
    regions: Sequence[str] = FACE_REGIONS
    parser: FaceParser | None = None
    crop_masks: torch.Tensor | None = None
    grain: float = 0.0

    def strength_of(self, row: int) -> float:
        """Return the strength of crop `row`, counted over all parts."""
        return self.strength if self.strengths is None else self.strengths[row]

    def check_count(self, crops: int) -> None:
        """Raise MismatchError unless there is a strength and a mask for each of so many crops.

        `strengths` and `crop_masks` may be missing.
        """
        if self.strengths is not None and len(self.strengths) != crops:
            raise MismatchError(
                f"{len(self.strengths)} strengths do not fit {crops} faces. Give one for each "
                "face, in the order of the faces, or none to use one strength for all."
            )
        if self.crop_masks is not None and len(self.crop_masks) != crops:
            raise MismatchError(
                f"{len(self.crop_masks)} crop masks do not fit {crops} crops. Give one for each "
                "crop, in the order of the crops."
            )

    def check_background(self) -> None:
        """Raise MismatchError if the background's values plainly have another range than [0, 1]."""
        if self.background is not None:
            check_range(self.background, "background")

    def check(self, image: torch.Tensor) -> None:
        """Raise MismatchError unless the options are in range and fit `image` [B, 3, H, W].

        Pixels are not read: `check_background` does that, once.
        """
        check_shape(image)
        if self.background is not None:
            _check_background(self.background, image)
        if self.limit is not None:
            check_mask(self.limit, image, "limit")
        if not (
            self.detail == "auto" or (not isinstance(self.detail, str) and 0 <= self.detail <= 1)
        ):
            raise MismatchError(f'detail must be 0 … 1 or "auto", found {self.detail!r}.')
        if not 0 < self.feather <= 0.5:
            raise MismatchError(f"feather must be above 0 and at most 0.5, found {self.feather}.")
        self._check_mask()
        for name, values in (
            ("strength", [self.strength]),
            ("strengths", self.strengths or []),
            ("grain", [self.grain]),
        ):
            for value in values:
                if not 0 <= value <= 1:
                    raise MismatchError(f"{name} must lie in 0 … 1, found {value}.")

    def _check_mask(self) -> None:
        if self.mask_kind not in MASK_KINDS:
            raise MismatchError(
                f"mask_kind must be {', '.join(MASK_KINDS)}, found {self.mask_kind!r}."
            )
        check_regions(self.regions)
        if self.mask_kind == "parse" and self.parser is None:
            raise MismatchError(
                'mask_kind "parse" needs a face parser. Give parser=gpen.load_parser(), or choose '
                "box or oval, which need none."
            )
        if self.crop_masks is not None:
            check_shape(self.crop_masks, "crop_masks", channels=1)
            height, width = self.crop_masks.shape[2:]
            if height != width:
                raise MismatchError(
                    f"crop_masks must be square as the crops are, found {width}×{height}."
                )


def parse_strengths(text: str) -> list[float] | None:
    """Parse one strength per face, such as "1, 0.5"; None for an empty text.

    Raises:
        MismatchError: a part is not a number from 0 to 1.
    """
    strengths = []
    for part in text.replace(",", " ").split():
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise MismatchError(
                f"{part[:40]!r} is not a strength: expected one number from 0 to 1 for each face, "
                'such as "1, 0.5", or an empty text to use one strength for all.'
            )
        strengths.append(value)
    return strengths or None


def _check_background(background: torch.Tensor, image: torch.Tensor) -> None:
    check_shape(background, "background")
    if background.shape[0] != image.shape[0]:
        raise MismatchError(
            f"The background is a batch of {background.shape[0]}, the image of {image.shape[0]}: "
            "give one enlarged image for each."
        )
    (height, width), (larger_height, larger_width) = image.shape[2:], background.shape[2:]
    # Rounding an enlarged side may move it by up to a pixel.
    if abs(larger_height * width - larger_width * height) > height + width:
        raise MismatchError(
            f"The background of {larger_width}×{larger_height} is not the image of "
            f"{width}×{height} enlarged: its proportions differ. Enlarge the image by one "
            "factor, without cropping or padding it."
        )
