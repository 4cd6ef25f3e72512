"""The options of `gpen restore`, all of them."""

from __future__ import annotations

from typing import Protocol

from .batch_options import BatchOptions
from .find_options import FindOptions
from .jobs import FileOptions
from .model_options import ModelOptions
from .pasting_options import PastingOptions
from .reporting import ReportOptions
from .video_options import FilmOptions


class RestoreOptions(
    ModelOptions,
    FileOptions,
    FindOptions,
    PastingOptions,
    ReportOptions,
    BatchOptions,
    FilmOptions,
    Protocol,
):
    """The options of `gpen restore`, as `commands.restore.add_arguments` defines them."""

    output_url: str | None
    batch_size: int | None
    aligned: bool
    colour: str
    scale: int
    upscaler: str | None
    find_in: str
    save_faces: bool
    compare: bool
