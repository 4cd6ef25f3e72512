"""Values of options that several subcommands check alike."""

from __future__ import annotations

import argparse
import math

from ..errors import GPENError


def positive(text: str) -> int:
    """A whole number from 1 up."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def count(text: str) -> int:
    """A whole number from 0 up."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def not_negative(text: str) -> float:
    """A number from 0 up."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return value


def widths(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 up, separated by commas."""
    return tuple(positive(part) for part in text.split(","))


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    return _up_to(1, text)


def sharpen_amount(text: str) -> float:
    """An amount of sharpening that a checkpoint may ask for."""
    return _up_to(100, text)


def _up_to(most: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"must lie in 0 … {most}, found {text}")
    return value


def reason_of(error: Exception, *, out_of_memory: str) -> str | None:
    """The error in words, or None if it is none that a file can cause.

    Args:
        error: what was raised.
        out_of_memory: what to try when memory ran out.
    """
    from ..devices import is_out_of_memory  # loads PyTorch

    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return f"memory ran out; {out_of_memory}"
    return str(error) if isinstance(error, (GPENError, OSError)) else None


def named(name: str, reason: str) -> str:
    """The reason with the file's name before it; most errors of files begin with it already."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
