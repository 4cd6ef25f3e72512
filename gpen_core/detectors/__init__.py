"""Face detectors: `load_detector` loads one by its name, `detect` finds faces with it."""

from ..names import DETECTORS
from .protocol import Detector
from .registry import load_detector
from .scales import detect

__all__ = ["DETECTORS", "Detector", "detect", "load_detector"]
