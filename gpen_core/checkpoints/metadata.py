"""The facts that a checkpoint carries beside its weights: the amount of sharpening."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARPEN_KEY = "gpen.sharpen"
"""The key of `GPEN.sharpen` in the metadata of a safetensors or ONNX file."""
MAX_SHARPEN = 100
"""The largest value of `GPEN.sharpen` that a file may hold."""


def sharpen_metadata(amount: float) -> dict[str, str]:
    """Return the metadata of a file for `GPEN.sharpen`; 0 needs none."""
    return {SHARPEN_KEY: f"{amount:g}"} if amount else {}


def read_sharpen(metadata: Mapping[str, str]) -> float:
    """Read `GPEN.sharpen` from the metadata of a file; it is 0 if they do not say it.

    Raises:
        CheckpointError: it is no number, or out of range.
    """
    text = metadata.get(SHARPEN_KEY, "0")
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= MAX_SHARPEN:
        raise CheckpointError(
            f"its metadata says `{SHARPEN_KEY}` is `{printable(text)}`; expected a number from 0 "
            f"to {MAX_SHARPEN}. `gpen convert --sharpen` writes one."
        )
    return amount
