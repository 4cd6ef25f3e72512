"""GPEN face restoration: four verbs (`detect`, `align`, `restore`, `paste`) over three values.

Names resolve on first use (PEP 562), so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_gpen": "checkpoints.loading",
    "load_detector": "detectors",
    "detect": "detectors",
    "read_image": "media",
    "write_image": "media",
    "align": "align",
    "alignable": "align",
    "restore": "restore",
    "paste": "pasting",
    "restore_image": "pipeline",
    "degrade": "degradation",
    "Degradation": "degradation",
    "Faces": "faces",
    "Alignment": "faces",
    "Crops": "faces",
    "GPEN": "arch",
    "GPENConfig": "arch",
    "GPENError": "errors",
    "CheckpointError": "errors",
    "DetectorError": "errors",
    "DeviceError": "errors",
    "ImageError": "errors",
    "MismatchError": "errors",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


class _Package(ModuleType):
    """Keeps `gpen_core.align` the verb: importing its module would bind that name to the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f".{_HOMES[name]}", __name__)
        value = getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
