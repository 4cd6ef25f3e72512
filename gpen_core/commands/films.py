"""Restore film files with the networks of `gpen restore`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..video import VideoOptions, restore_video
from ..video.state import find_folder
from .running import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors import Detector
    from ..pasting import PasteOptions
    from ..runner import Runner
    from .jobs import Job
    from .restore_options import RestoreOptions
    from .running import OnJobProgress

_FINDING = 0.25
"""The share of the work that finding the faces is, for the progress bar."""


def restore_film(
    job: Job,
    options: RestoreOptions,
    paste: PasteOptions,
    model: Runner,
    detector: Detector,
    on_progress: OnJobProgress,
    on_notice: Callable[[str, str], None],
) -> Outcome:
    """Restore one film; return what was done.

    Raises:
        GPENError: see `restore_video`; also, after the result is written, if the film is damaged.
    """
    name = str(job.source)
    target = job.target.with_suffix("") if options.frames else job.target
    try:
        report = restore_video(
            model,
            detector,
            job.source,
            target,
            make_options(options, paste),
            on_progress=Pace(on_progress),
            on_notice=lambda message: on_notice(name, message),
            label=label_model(options.model),
        )
    except KeyboardInterrupt:
        on_notice(
            name, f"{find_folder(target)} keeps what is done; the same command goes on there."
        )
        raise
    done = f"{report.frames} frames, {report.with_faces} with faces"
    if report.damage:
        raise ImageError(f"{name}: {report.damage}. {target} holds what could be read: {done}.")
    return Outcome(done)


def make_options(options: RestoreOptions, paste: PasteOptions) -> VideoOptions:
    """Return the choices for a film that the command's options mean."""
    return VideoOptions(
        paste=paste,
        template=options.template,
        max_faces=options.max_faces,
        batch_size=options.batch_size,
        colour=options.colour,
        threshold=options.threshold,
        min_size=options.min_size,
        detect_every=options.detect_every,
        steady=not options.no_steady,
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        pix_fmt=options.pix_fmt,
        start=options.start,
        end=options.end,
        audio=options.audio == "copy",
        subtitles=options.subtitles == "copy",
        hdr=options.hdr,
        overwrite=options.overwrite,
        restart=options.restart,
        keep_partial=options.keep_partial,
        frames=options.frames,
        strict=options.strict,
    )


def label_model(model: str) -> str:
    """Name a model, and its file's size if it is a file, so that another one is noticed."""
    path = Path(model)
    return f"{model} {path.stat().st_size}" if path.is_file() else model


class Pace:
    """Turns a film's progress into that of its job, with the frames that are done in a second."""

    def __init__(self, on_progress: OnJobProgress) -> None:
        self._on_progress = on_progress
        self._stage = ""
        self._begun = (0.0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._begun = stage, (now, done)
        since, before = self._begun
        pace = (done - before) / (now - since) if now > since else 0.0
        share = min(1.0, done / total) if total else 0.0
        whole = _FINDING * share if stage == "faces" else _FINDING + (1 - _FINDING) * share
        doing = "finding faces, frame" if stage == "faces" else "frame"
        words = f"{doing} {done} of {total or '?'}, {pace:.1f} a second"
        self._on_progress(round(10_000 * whole), 10_000, words)
