"""The facts that a checkpoint carries beside its weights: the amount of sharpening, the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..names import RESTORE, TASKS
from ..printable import printable
from . import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHARPEN_KEY = "gpen.sharpen"
"""The key of `GPEN.sharpen` in the metadata of a safetensors or ONNX file."""
TASK_KEY = "gpen.task"
"""The key of `GPEN.task` there."""
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


def task_metadata(task: str | None) -> dict[str, str]:
    """Return the metadata of a file for `GPEN.task`; restoring and None need none."""
    return {TASK_KEY: task} if task not in (None, RESTORE) else {}


def read_task(metadata: Mapping[str, str], path: Path) -> str | None:
    """Read `GPEN.task` from the metadata of a file, or else see whether the file is a known one.

    Raises:
        CheckpointError: the metadata name another task than ours.
    """
    task = metadata.get(TASK_KEY)
    if task is None:
        return catalog.find_task(path)
    if task not in TASKS:
        raise CheckpointError(
            f"its metadata says `{TASK_KEY}` is `{printable(task)}`; expected one of "
            f"{', '.join(TASKS)}. A newer version may know it."
        )
    return task
