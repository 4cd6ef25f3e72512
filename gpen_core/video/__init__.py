"""Restore films: frames stream through the verbs, faces are followed, runs can be interrupted.

PyAV reads and writes the files; without it, importing this package says how to install it.
"""

import importlib.util

from ..errors import GPENError

if importlib.util.find_spec("av") is None:
    raise GPENError(
        'Films need PyAV, which is not installed: pip install "av>=16", or gpen-restore[video].'
    )

from .options import VideoOptions
from .restoring import VideoReport, restore_video

__all__ = ["VideoOptions", "VideoReport", "restore_video"]
