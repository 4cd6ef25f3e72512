"""The choices of a user for one film."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import MismatchError
from ..names import AUTO, COLOURS
from ..pasting import PasteOptions
from .companions import Companions

if TYPE_CHECKING:
    from collections.abc import Callable

DETECT_EVERY = 5
"""Frames from one search of the whole picture to the next; between, faces are followed."""

ROUNDING = 1e-6
"""Seconds by which a time may be off, because 0.04 + 0.12 is not 0.16."""


@dataclass(frozen=True)
class VideoOptions:
    """How a film is restored. `restore_video` explains each field for users.

    Attributes:
        paste: strength, detail, feather and mask of each face.
        template, max_faces, batch_size, colour: see `restore_image`.
        threshold, min_size: see `detect`.
        detect_every: search the whole picture in every Nth frame.
        steady: smooth the places of faces over time.
        codec: "auto" (h264; vp9 in .webm), or see `choose_encoding`.
        crf, preset, pix_fmt: see `choose_encoding`.
        start, end: the part of the film to restore, in seconds.
        audio, subtitles: copy the film's.
        hdr: take HDR films, at their coded values.
        overwrite: replace an existing result.
        restart: forget what an interrupted run left.
        keep_partial: when interrupted, write a film of what is done.
        frames: write a folder of PNG files instead of a film.
        strict: refuse a damaged film.

    Example:
        >>> import gpen_core as gpen
        >>> options = gpen.VideoOptions(start=90, crf=20, audio=False)
        >>> options.detect_every, options.crf
        (5, 20)
    """

    paste: PasteOptions = field(default_factory=PasteOptions)
    template: str = AUTO
    max_faces: int | None = None
    batch_size: int | None = None
    colour: str = COLOURS[0]
    threshold: float | None = None
    min_size: float = 0
    detect_every: int = DETECT_EVERY
    steady: bool = True
    codec: str = AUTO
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    start: float | None = None
    end: float | None = None
    audio: bool = True
    subtitles: bool = True
    hdr: bool = False
    overwrite: bool = False
    restart: bool = False
    keep_partial: bool = False
    frames: bool = False
    strict: bool = False

    @property
    def companions(self) -> Companions:
        """Which other streams to copy."""
        return Companions(self.audio, self.subtitles)

    def is_before(self, seconds: float) -> bool:
        """Whether a time of the film lies before the part to restore."""
        return self.start is not None and seconds < self.start - ROUNDING

    def is_after(self, seconds: float) -> bool:
        """Whether a time of the film lies after the part to restore."""
        return self.end is not None and seconds >= self.end - ROUNDING

    def check(self) -> None:
        """Raise MismatchError if a choice is out of range or contradicts another."""
        if self.detect_every < 1:
            raise MismatchError(f"detect_every is 1 or more frames, found {self.detect_every}.")
        if self.start is not None and self.start < 0:
            raise MismatchError(f"start is a time in seconds, 0 or more; found {self.start}.")
        if self.end is not None and self.end <= (self.start or 0):
            raise MismatchError(f"end must lie after start, found {self.end}.")
        if self.paste.background is not None or self.paste.limit is not None:
            raise MismatchError("A film takes no background and no limit.")
        if self.paste.strengths is not None:
            raise MismatchError("A film takes one strength for all faces, found a list.")


@dataclass(frozen=True)
class Watcher:
    """What `restore_video` tells while it works. Each function may be None, and may raise to stop.

    Attributes:
        on_progress: called with (what is done now, frames done, all frames or 0).
        on_notice: called with something that the user should know.
    """

    on_progress: Callable[[str, int, int], None] | None = None
    on_notice: Callable[[str], None] | None = None

    def report(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    def notify(self, message: str) -> None:
        """Tell the user something."""
        if self.on_notice is not None:
            self.on_notice(message)
