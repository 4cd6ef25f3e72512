"""Face detectors: `load_detector` loads one by its name, `detect` finds faces with it."""

from ..names import DETECTORS
from .detection import detect
from .protocol import Detector
from .refining import refine_landmarks
from .registry import load_detector

__all__ = ["DETECTORS", "Detector", "detect", "load_detector", "refine_landmarks"]
