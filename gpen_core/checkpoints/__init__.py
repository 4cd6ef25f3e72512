"""GPEN checkpoints: from a file to a network, and back."""

from .loading import load_gpen

__all__ = ["load_gpen"]
