"""Makes sharp images bad, by a seed: for training, for measuring and to try things out."""

from .degrade import degrade
from .presets import Degradation

__all__ = ["Degradation", "degrade"]
