"""`Contents`, all that is known of an image file before its pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from . import pillow_decoding
from .metadata import NO_METADATA, Metadata

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

MOST_CUT = 16
"""A cut-off file without compression must hold at least one part in so many of its pixels."""


class Decoded(NamedTuple):
    """Pixels as they are stored, not turned.

    Attributes:
        samples: [H, W, C], uint8 or uint16: grey, grey + alpha, RGB or RGBA.
        icc: the colour profile that the samples have now, or None where the file's is right.
        damage: how the file is damaged, as the end of a sentence; empty if it is sound.
        lost: parts of the file that got lost while decoding, in a few words each.
    """

    samples: np.ndarray
    icc: bytes | None = None
    damage: str = ""
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """An image file, taken apart. Each format whose pixels need care has a class of its own.

    Attributes:
        kind: Pillow's name for the format.
        data: a file with the pixels, for the decoder.
        size: (width, height) as stored, before turning.
        metadata: the metadata to carry over.
        bits: bits per sample that we decode, 8 or 16.
        damage: how the file is damaged, as the end of a sentence; empty if it seems sound.
        lost: parts of the file that no result can hold, in a few words each.
        is_lossless: a WebP or AVIF whose pixels were compressed without loss.
        needed_bytes: how many bytes of samples the header promises.
        most_bytes: how many bytes of samples such a file can hold at the format's greatest
            compression; None if the format has no limit.
    """

    kind: str
    data: bytes
    size: tuple[int, int]
    metadata: Metadata = NO_METADATA
    bits: int = 8
    damage: str = ""
    lost: tuple[str, ...] = ()
    is_lossless: bool = False
    needed_bytes: int = 0
    most_bytes: int | None = None

    def decode(self, path: Path) -> Decoded:
        """Decode the pixels.

        Raises:
            ImageError: the samples are of a kind that we cannot use.
            Exception: Pillow raises almost any kind on damaged data.
        """
        icc = self.metadata.icc
        samples, icc, lost = pillow_decoding.decode(self.kind, self.data, icc, path)
        return Decoded(samples, icc, self.damage, lost)


def describe_missing_rows(missing: int, height: int, which: str = "last") -> str:
    """Return "the last 12 % of its rows are missing", with at least one percent."""
    if missing >= height:
        return "all of its rows are missing"
    return f"the {which} {max(1, round(100 * missing / height))} % of its rows are missing"
