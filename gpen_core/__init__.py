"""GPEN face restoration: four verbs (`detect`, `align`, `restore`, `paste`) over three values.

Names are resolved on first use (PEP 562), so that importing this package costs nothing. Type
checkers see the real imports below.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .align import align, alignable
    from .arch import GPEN, GPENConfig
    from .checkpoints.exporting import export_onnx
    from .checkpoints.loading import load_gpen
    from .degradation import Degradation, degrade
    from .detectors import detect, load_detector, refine_landmarks
    from .errors import (
        CheckpointError,
        DetectorError,
        DeviceError,
        DownloadError,
        GPENError,
        ImageError,
        MismatchError,
        TrainingError,
    )
    from .faces import Alignment, Crops, Faces
    from .media import read_image, write_image
    from .pasting import load_parser, paste
    from .pipeline import restore_image
    from .reports import report
    from .restore import restore
    from .runners.spandrel import load_face_restorer
    from .tasks.colour import colorize
    from .tasks.holes import inpaint
    from .tasks.segmentation import segment_to_face
    from .video import VideoOptions, restore_video

__version__ = "0.1.0"

__all__ = [
    "GPEN",
    "Alignment",
    "CheckpointError",
    "Crops",
    "Degradation",
    "DetectorError",
    "DeviceError",
    "DownloadError",
    "Faces",
    "GPENConfig",
    "GPENError",
    "ImageError",
    "MismatchError",
    "TrainingError",
    "VideoOptions",
    "align",
    "alignable",
    "colorize",
    "degrade",
    "detect",
    "export_onnx",
    "inpaint",
    "load_detector",
    "load_face_restorer",
    "load_gpen",
    "load_parser",
    "paste",
    "read_image",
    "refine_landmarks",
    "report",
    "restore",
    "restore_image",
    "restore_video",
    "segment_to_face",
    "write_image",
]

_MODULES = {
    "align": ("align", "alignable"),
    "arch": ("GPEN", "GPENConfig"),
    "checkpoints.exporting": ("export_onnx",),
    "checkpoints.loading": ("load_gpen",),
    "degradation": ("Degradation", "degrade"),
    "detectors": ("detect", "load_detector", "refine_landmarks"),
    "errors": (
        "CheckpointError",
        "DetectorError",
        "DeviceError",
        "DownloadError",
        "GPENError",
        "ImageError",
        "MismatchError",
        "TrainingError",
    ),
    "faces": ("Alignment", "Crops", "Faces"),
    "media": ("read_image", "write_image"),
    "pasting": ("load_parser", "paste"),
    "pipeline": ("restore_image",),
    "reports": ("report",),
    "restore": ("restore",),
    "runners.spandrel": ("load_face_restorer",),
    "tasks.colour": ("colorize",),
    "tasks.holes": ("inpaint",),
    "tasks.segmentation": ("segment_to_face",),
    "video": ("VideoOptions", "restore_video"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


class _Package(ModuleType):
    """Keeps `gpen_core.align` the verb: importing its module would bind that name to the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # else a type checker would take every unknown name for Any

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from .lazy import load
        except ModuleNotFoundError as error:  # ComfyUI's archive
            raise AttributeError(f"{__name__}.{name} needs a clone of the repository") from error
        value = load(name, _MODULE_OF[name], __name__)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
