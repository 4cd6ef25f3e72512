"""Seeded degradation of sharp images: for training, for evaluation and to try models out."""

from .degrade import degrade
from .presets import Degradation

__all__ = ["Degradation", "degrade"]
