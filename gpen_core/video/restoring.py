"""Restore a film: find its faces, render segments, join them. An interrupted run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..runner import choose_template
from .checking import check_options, check_paths, check_space, describe_job
from .companions import check_companions
from .encoding import choose_codec, choose_encoding
from .films import inspect_film
from .options import VideoOptions, Watcher
from .pictures import write_pictures
from .searching import find_faces
from .segments import Segments
from .state import State, find_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..detectors import Detector
    from ..runner import Runner
    from .encoding import Encoding
    from .films import Film
    from .rendering import Renderer


@dataclass(frozen=True)
class VideoReport:
    """What was done with a film.

    Attributes:
        frames: frames of the result.
        with_faces: how many of them hold a face.
        tracks: faces followed, one for each person and scene.
        cuts: scene cuts.
        damage: what could not be read, or None. The result holds everything else.
        notices: what the user was told.
    """

    frames: int
    with_faces: int
    tracks: int
    cuts: int
    damage: str | None = None
    notices: list[str] = field(default_factory=list)


def restore_video(
    model: Runner,
    detector: Detector,
    source: Path,
    target: Path,
    options: VideoOptions | None = None,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    label: str = "",
) -> VideoReport:
    """Restore the faces of a film file, and write another.

    Memory does not depend on the film's length. Sound, subtitles, chapters and attachments are
    copied as they are. What an interrupted run had done lies in `target` + ".parts"; the same call
    goes on there.

    Args:
        model: from `load_gpen`, or any other `Runner`.
        detector: from `load_detector`.
        source: the film.
        target: the result: .mp4, .m4v, .mov, .mkv or .webm. It appears once it is complete.
        options: the user's choices.
        on_progress: called with ("faces" or "frames", done, all or 0 if unknown); may raise.
        on_notice: called with each thing that the user should know.
        label: names the model, so that parts made with another one are noticed.

    Returns:
        What was done, and what could not be read.

    Raises:
        GPENError: the film cannot be read or written, or an option does not fit. Nothing is left
            of `target`, and it is not replaced.

    Example:
        >>> import gpen_core as gpen
        >>> from pathlib import Path
        >>> model = gpen.load_gpen("builtin", device="cpu")
        >>> detector = gpen.load_detector("mtcnn", device="cpu")
        >>> try:
        ...     gpen.restore_video(model, detector, Path("no.mp4"), Path("restored.mp4"))
        ... except FileNotFoundError as error:
        ...     print(error.filename)
        no.mp4
    """
    options = options or VideoOptions()
    job = _FilmJob.begin(
        model, detector, source, target, options, Watcher(on_progress, on_notice), label
    )
    try:
        return job.run()
    finally:
        job.state.release()


def find_segments(
    model: Runner,
    detector: Detector,
    source: Path,
    target: Path,
    options: VideoOptions,
    folder: Path,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    label: str = "",
) -> Segments:
    """Find the faces of a film, and split it into segments, which other processes may render.

    Args:
        model, detector, source, target, options, on_progress, on_notice, label: see
            `restore_video`.
        folder: gets the state of the film. What an earlier call found there is not searched again.

    Returns:
        The segments. No other run may use `folder` until `state.release` or `state.remove`.

    Raises:
        GPENError: see `restore_video`.
    """
    watcher = Watcher(on_progress, on_notice)
    job = _FilmJob.begin(model, detector, source, target, options, watcher, label, folder)
    try:
        return job.find()
    except BaseException:
        job.state.release()
        raise


@dataclass(frozen=True)
class _FilmJob:
    """One film on its way."""

    model: Runner
    detector: Detector
    film: Film
    target: Path
    options: VideoOptions
    watcher: Watcher
    encoding: Encoding
    state: State
    notices: list[str]

    @classmethod
    def begin(
        cls,
        model: Runner,
        detector: Detector,
        source: Path,
        target: Path,
        options: VideoOptions,
        watcher: Watcher,
        label: str,
        folder: Path | None = None,
    ) -> _FilmJob:
        """Check everything that can be checked before the work, and open the state."""
        check_options(model, options)
        check_paths(source, target, options)
        film = inspect_film(source, hdr=options.hdr)
        encoding = choose_encoding(
            film, codec=choose_codec(options.codec, target), crf=options.crf, preset=options.preset,
            pix_fmt=options.pix_fmt,
        )  # fmt: skip
        notices = [*film.notices, *encoding.notices]
        if not options.frames:
            notices += check_companions(film, target, options.companions, encoding.encoder)
        for notice in notices:
            watcher.notify(notice)
        target.parent.mkdir(parents=True, exist_ok=True)
        check_space(film, target)
        job = describe_job(model, detector, film, encoding, options, label)
        state = State.open(folder or find_folder(target), job, restart=options.restart)
        return cls(model, detector, film, target, options, watcher, encoding, state, notices)

    def find(self) -> Segments:
        """Find the faces that were not found yet; return the segments.

        Raises:
            ImageError: the film is damaged, and `strict` was chosen.
        """
        options = self.options
        template = choose_template(options.template, self.model.config)
        records, damage = find_faces(
            self.film, self.detector, options, template, self.state.tracks, self.watcher
        )
        if damage and options.strict:
            raise ImageError(f"{self.film.path}: {damage}. Nothing was written.")
        return Segments.split(
            self.film, self.encoding, options, self.state, records, damage, template
        )

    def run(self) -> VideoReport:
        """Do what is missing, and write the result."""
        segments = self.find()
        first, last = segments.first, segments.last
        renderer = segments.make_renderer(self.model)
        if self.options.frames:
            write_pictures(renderer, first, last, self.state, self.target, self.watcher)
        else:
            self._write_film(renderer, segments)
        self.state.remove()
        return VideoReport(
            frames=last - first,
            with_faces=segments.count_with_faces(),
            tracks=segments.plan.track_count,
            cuts=sum(first < cut < last for cut in segments.plan.cuts),
            damage=segments.damage,
            notices=self.notices,
        )

    def _write_film(self, renderer: Renderer, segments: Segments) -> None:
        """Render the segments that are missing, and join all."""
        begin, total = segments.first, segments.last - segments.first
        partial = self.target.with_name(f"{self.target.stem}.partial{self.target.suffix}")
        try:
            segments.render_all(
                renderer, lambda n: self.watcher.report("frames", n + 1 - begin, total)
            )
        except BaseException:
            if self.options.keep_partial:
                segments.join(partial, overwrite=True)
            raise
        segments.join(self.target, overwrite=self.options.overwrite)
        partial.unlink(missing_ok=True)
