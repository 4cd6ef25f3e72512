"""What to tell of an error while one of many files was worked on."""

from __future__ import annotations

from ..errors import GPENError


def reason_of(error: Exception, *, out_of_memory: str) -> str | None:
    """The error in words, or None if it is none that a file can cause.

    Args:
        error: what was raised.
        out_of_memory: what to try when memory ran out.
    """
    from ..restore import is_out_of_memory  # loads PyTorch

    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return f"memory ran out; {out_of_memory}"
    return str(error) if isinstance(error, (GPENError, OSError)) else None


def named(name: str, reason: str) -> str:
    """The reason with the file's name before it; most errors of files begin with it already."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
