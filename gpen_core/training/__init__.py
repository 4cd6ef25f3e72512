"""Training a GPEN: data, degradations, losses, the loop, and its measure."""

from ..degradation.degrade import degrade
from ..degradation.presets import Degradation

__all__ = ["Degradation", "degrade"]
