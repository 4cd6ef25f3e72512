"""The spec of a result: a hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import sha256

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


def hash_spec(parts: Mapping[str, object]) -> str:
    """Return a hash of named parts, equal for equal parts in any order.

    Args:
        parts: values that JSON can hold.
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def hash_input(base: str, path: Path, status: os.stat_result, *, contents: bool = False) -> str:
    """Return the spec of a result, from the part that all results of a run share and its input.

    Args:
        base: `hash_spec` of the options, the model and the machine.
        path: the input.
        status: its size and time.
        contents: hash the input instead of looking at its time, so that a copy counts as the same.
    """
    mark = sha256(path) if contents else str(status.st_mtime_ns)
    return hash_facts(base, status.st_size, mark)


def hash_facts(base: str, size: int, mark: str) -> str:
    """Return the same from an input's length, and its time or hash."""
    text = f"{base} {size} {mark}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
