"""Restored crops, put back into the photograph."""

from .paste import Pasted, paste

__all__ = ["Pasted", "paste"]
