"""Paste restored crops back into the photograph."""

from .options import FEATHER, PasteOptions
from .parsing import load_parser
from .paste import Part, Pasted, paste, paste_parts

__all__ = ["FEATHER", "Part", "PasteOptions", "Pasted", "load_parser", "paste", "paste_parts"]
