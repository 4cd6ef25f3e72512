"""Face detectors: `load_detector` makes one by name, `detect` finds faces with it."""

from .protocol import Detector
from .registry import DETECTOR_NAMES, load_detector
from .scales import detect

__all__ = ["DETECTOR_NAMES", "Detector", "detect", "load_detector"]
