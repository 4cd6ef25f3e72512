"""Paste restored crops back into the photograph."""

from .options import FEATHER, PasteOptions
from .paste import Pasted, paste, paste_parts

__all__ = ["FEATHER", "PasteOptions", "Pasted", "paste", "paste_parts"]
