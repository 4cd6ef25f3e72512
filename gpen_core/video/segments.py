"""A film whose faces are known: its segments, each of which any process renders, and their join."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..files import exists, is_file, write_atomically
from .encoding import choose_codec, choose_encoding
from .films import inspect_film
from .joining import Cut, join_segments
from .plans import make_plan
from .rendering import Renderer
from .state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..runner import Runner
    from .encoding import Encoding
    from .films import Film
    from .finding import Found
    from .options import VideoOptions
    from .plans import Plan

SEGMENT_SECONDS = 4
"""About how long a segment is. An interruption costs at most one."""
LEAST_SEGMENT = 12
"""Frames of a segment, at least."""


@dataclass(frozen=True)
class Segments:
    """The segments of a film.

    Attributes:
        film: the source.
        encoding: how the result is encoded.
        options: the user's choices.
        plan: what to do in each frame.
        state: the folder that holds the segments that are done.
        spans: the first frame of each segment, and the one after its last.
        damage: what could not be read of the film, or None.
    """

    film: Film
    encoding: Encoding
    options: VideoOptions
    plan: Plan
    state: State
    spans: list[tuple[int, int]]
    damage: str | None = None

    @classmethod
    def split(
        cls,
        film: Film,
        encoding: Encoding,
        options: VideoOptions,
        state: State,
        records: list[Found],
        damage: str | None,
        template: str,
    ) -> Segments:
        """Plan a film and split it.

        Args:
            film, encoding, options, state, damage: see `Segments`.
            records: the faces of all frames.
            template: the template of the model.

        Raises:
            ImageError: there is no frame in the part that the user chose.
        """
        first, last = _choose_frames(film, options, records)
        plan = make_plan(records, template, steady=options.steady)
        length = max(LEAST_SEGMENT, round(SEGMENT_SECONDS * film.rate))
        spans = list(pairwise([*range(first, last, length), last]))
        return cls(film, encoding, options, plan, state, spans, damage)

    @property
    def first(self) -> int:
        """The first frame of the result."""
        return self.spans[0][0]

    @property
    def last(self) -> int:
        """The frame after the last of the result."""
        return self.spans[-1][1]

    def path(self, number: int) -> Path:
        """Return the path of a segment's file."""
        return self.state.segment(number, self.encoding.suffix)

    def make_renderer(self, model: Runner) -> Renderer:
        """Return what renders frames with a model."""
        return Renderer(model, self.film, self.plan, self.encoding, self.options)

    def render_all(self, renderer: Renderer, on_frame: Callable[[int], None]) -> None:
        """Render the segments whose files are missing; see `Renderer.render`."""
        for number, (first, last) in enumerate(self.spans):
            if not exists(self.path(number)):
                renderer.render(first, last, self.path(number), on_frame=on_frame)

    def join(self, target: Path, *, overwrite: bool) -> None:
        """Write the film of all segments from the first on that are there; none write nothing.

        Raises:
            ImageError: a stream of the source cannot be copied.
            FileExistsError: `target` exists and `overwrite` is false.
        """
        done = []
        for number, (first, _) in enumerate(self.spans):
            if not exists(self.path(number)):
                break
            done.append((self.path(number), self.plan.times[first]))
        if not done:
            return
        last = self.spans[len(done) - 1][1]
        times, unit = self.plan.times, self.film.time_base
        end = float(times[last] * unit) if last < len(times) else self.options.end
        start = float(done[0][1] * unit) if self.options.start is not None else None
        with write_atomically(target, overwrite=overwrite) as scratch:
            join_segments(
                done, self.film, target,
                to=scratch, companions=self.options.companions, cut=Cut(start, end),
            )  # fmt: skip

    def count_with_faces(self) -> int:
        """Return how many frames of the result hold a face."""
        rows = self.plan.faces.frame
        return len(set(rows[(rows >= self.first) & (rows < self.last)].tolist()))


def open_segments(
    source: Path, target: Path, folder: Path, options: VideoOptions, template: str
) -> Segments:
    """Open the segments of a film whose faces another process found.

    Args:
        source: the film.
        target: the result.
        folder: the state of the film.
        options: the user's choices.
        template: the template of the model.

    Raises:
        ImageError: the faces are not found yet, or the film was replaced since.
        OSError: the film cannot be read.
    """
    state = State(folder)
    if not is_file(state.job_file):
        raise ImageError(f"{folder} holds no film whose faces were found. Make the plan again.")
    job = json.loads(state.job_file.read_text(encoding="utf-8"))
    if job["size of the film"] != str(source.stat().st_size):
        raise ImageError(f"{source} was replaced since its faces were found. Make the plan again.")
    film = inspect_film(source, hdr=options.hdr)
    encoding = choose_encoding(
        film, codec=choose_codec(options.codec, target), crf=options.crf, preset=options.preset,
        pix_fmt=options.pix_fmt,
    )  # fmt: skip
    records, report = state.tracks.read()
    if report is None:
        raise ImageError(f"{folder}: the search for faces has not ended. Make the plan again.")
    return Segments.split(film, encoding, options, state, records, report["damage"], template)


def _choose_frames(film: Film, options: VideoOptions, records: list[Found]) -> tuple[int, int]:
    """Return the first frame of the result, and the one after its last."""
    if not records:
        raise ImageError(f"{film.path}: no frame could be read.")
    start = options.start
    if start is None:
        return 0, len(records)
    for record in records:
        if not options.is_before(float(record.time * film.time_base)):
            return record.number, len(records)
    end = float(records[-1].time * film.time_base)
    raise ImageError(f"--start {start:g} lies after the end of {film.path}, at {end:.2f} s.")
