"""Restore a film: find its faces, render segments, join them. An interrupted run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..files import write_atomically
from ..runner import choose_template
from .checking import check_options, check_paths, check_space, describe_job
from .companions import check_companions
from .encoding import choose_codec, choose_encoding
from .films import inspect_film
from .joining import Cut, join_segments
from .options import VideoOptions, Watcher
from .pictures import write_pictures
from .plans import Plan, make_plan, split_segments
from .rendering import Renderer
from .searching import find_faces
from .state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..detectors import Detector
    from ..runner import Runner
    from .encoding import Encoding
    from .films import Film
    from .finding import Found

SEGMENT_SECONDS = 4
"""About how long a segment is. An interruption costs at most one."""
LEAST_SEGMENT = 12
"""Frames of a segment, at least."""


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
    return job.run()


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
        state = State.open(target, job, restart=options.restart)
        return cls(model, detector, film, target, options, watcher, encoding, state, notices)

    def run(self) -> VideoReport:
        """Do what is missing, and write the result."""
        options = self.options
        template = choose_template(options.template, self.model.config)
        records, damage = find_faces(
            self.film, self.detector, options, template, self.state.tracks, self.watcher
        )
        if damage and options.strict:
            raise ImageError(f"{self.film.path}: {damage}. Nothing was written.")
        first, last = self._choose_frames(records)
        plan = make_plan(records, template, steady=options.steady)
        renderer = Renderer(self.model, self.film, plan, self.encoding, options)
        if options.frames:
            write_pictures(renderer, first, last, self.state, self.target, self.watcher)
        else:
            self._write_film(renderer, first, last)
        self.state.remove()
        rows = plan.faces.frame
        inside = rows[(rows >= first) & (rows < last)]
        return VideoReport(
            frames=last - first,
            with_faces=len(set(inside.tolist())),
            tracks=plan.track_count,
            cuts=sum(first < cut < last for cut in plan.cuts),
            damage=damage,
            notices=self.notices,
        )

    def _write_film(self, renderer: Renderer, first: int, last: int) -> None:
        """Render the segments that are missing, and join all."""
        plan = renderer.plan
        segments = self._list_segments(plan, first, last)
        try:
            self._render(renderer, segments)
        except BaseException:
            if self.options.keep_partial:
                self._join(plan, segments, self._partial)
            raise
        self._join(plan, segments, self.target)
        self._partial.unlink(missing_ok=True)

    @property
    def _partial(self) -> Path:
        return self.target.with_name(f"{self.target.stem}.partial{self.target.suffix}")

    def _seconds(self, time: int) -> float:
        return float(time * self.film.time_base)

    def _choose_frames(self, records: list[Found]) -> tuple[int, int]:
        """Return the first frame of the result, and the one after its last."""
        if not records:
            raise ImageError(f"{self.film.path}: no frame could be read.")
        start = self.options.start
        if start is None:
            return 0, len(records)
        inside = [
            record.number
            for record in records
            if not self.options.is_before(self._seconds(record.time))
        ]
        if not inside:
            raise ImageError(
                f"--start {start:g} lies after the end of {self.film.path}, at "
                f"{self._seconds(records[-1].time):.2f} s."
            )
        return inside[0], len(records)

    def _list_segments(self, plan: Plan, first: int, last: int) -> list[tuple[int, int]]:
        length = max(LEAST_SEGMENT, round(SEGMENT_SECONDS * self.film.rate))
        return split_segments(plan, first, last, length)

    def _path(self, number: int) -> Path:
        return self.state.segment(number, self.encoding.suffix)

    def _render(self, renderer: Renderer, segments: list[tuple[int, int]]) -> None:
        """Render the segments that are missing."""
        begin, total = segments[0][0], segments[-1][1] - segments[0][0]
        for number, (first, last) in enumerate(segments):
            path = self._path(number)
            if not path.exists():
                renderer.render(
                    first, last, path,
                    on_frame=lambda n: self.watcher.report("frames", n + 1 - begin, total),
                )  # fmt: skip

    def _join(self, plan: Plan, segments: list[tuple[int, int]], target: Path) -> None:
        """Write the film of all segments from the first on that are there."""
        done = []
        for number, (first, _) in enumerate(segments):
            if not self._path(number).exists():
                break
            done.append((self._path(number), plan.times[first]))
        if not done:
            return
        last = segments[len(done) - 1][1]
        end = self._seconds(plan.times[last]) if last < len(plan.times) else self.options.end
        start = self._seconds(done[0][1]) if self.options.start is not None else None
        cut = Cut(start, end)
        overwrite = self.options.overwrite or target != self.target
        with write_atomically(target, overwrite=overwrite) as scratch:
            join_segments(
                done, self.film, target, to=scratch, companions=self.options.companions, cut=cut
            )
