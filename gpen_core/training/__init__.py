"""Training a GPEN: data, degradations, losses, the loop, and its measure."""

from .degrade import Degradation, degrade

__all__ = ["Degradation", "degrade"]
