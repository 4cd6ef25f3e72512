"""Option types and error texts that several subcommands share."""

from __future__ import annotations

import argparse
import math

from ..errors import GPENError


def positive(text: str) -> int:
    """Parse a whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def count(text: str) -> int:
    """Parse a whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def not_negative(text: str) -> float:
    """Parse a finite number, 0 or more."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def widths(text: str) -> tuple[int, ...]:
    """Parse whole numbers, each 1 or more, separated by commas."""
    return tuple(positive(part) for part in text.split(","))


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    return _parse_up_to(1, text)


def sharpen_amount(text: str) -> float:
    """Parse a value of `GPEN.sharpen` that a checkpoint may hold, 0 to 100."""
    return _parse_up_to(100, text)


def _parse_up_to(maximum: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= maximum:
        raise argparse.ArgumentTypeError(f"must lie in 0 … {maximum}, found {text}")
    return value


def explain(error: Exception, *, out_of_memory: str) -> str | None:
    """Explain an error that a file caused; return None for any other error, which is a defect.

    Args:
        error: the exception.
        out_of_memory: what to try if memory ran out.
    """
    from ..devices import is_out_of_memory  # imports PyTorch

    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return f"memory ran out; {out_of_memory}"
    return str(error) if isinstance(error, (GPENError, OSError)) else None


def add_name(name: str, reason: str) -> str:
    """Put the name of a file before a reason, unless the reason begins with it already."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
