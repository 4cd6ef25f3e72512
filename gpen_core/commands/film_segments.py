"""Films in segments that several processes render: find the faces, render, join."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..batch.journal import Entry
from ..batch.work import DONE, Result, Task
from ..errors import GPENError, ImageError
from ..files import exists, is_file, write_atomically
from ..names import RESTORE
from ..pasting import PasteOptions
from ..runner import choose_template
from ..video.restoring import find_segments
from ..video.segments import Segments, open_segments
from .films import Pace, label_model, make_options
from .mask_options import choose_regions, load_chosen_parser
from .model_options import load_model
from .pasting_options import make_paste_options
from .running import Outcome, do_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..runner import Runner
    from ..video.rendering import Renderer
    from .jobs import Job
    from .restore_options import RestoreOptions
    from .restorer import Restorer
    from .running import OnJobProgress

_JOINED = "joined.json"
"""Notes in a film's folder the length of the result that was joined."""


class FilmParts(NamedTuple):
    """A film whose faces were found. All values can stand in JSON.

    Attributes:
        name: the film as the user calls it.
        source: its path.
        target: the path of the result.
        folder: the path of its state.
        template: the template of the model.
    """

    name: str
    source: str
    target: str
    folder: str
    template: str

    def open(self, options: RestoreOptions, paste: PasteOptions) -> Segments:
        """Open its segments; see `open_segments`."""
        return open_segments(
            Path(self.source), Path(self.target), Path(self.folder), make_options(options, paste),
            self.template,
        )  # fmt: skip


def find_parts(
    job: Job, restorer: Restorer, folder: Path, on_progress: OnJobProgress
) -> tuple[FilmParts, Segments]:
    """Find the faces of a film, and split it; its state is held, see `find_segments`.

    Args:
        job: the film.
        restorer: the networks and options.
        folder: gets the film's state.
        on_progress: is told how far it is.

    Raises:
        GPENError: see `restore_video`.
    """
    options, name = restorer.options, str(job.source)
    if restorer.detector is None:
        raise ImageError(f"{name} is a film; --aligned has no effect there. Leave it out.")
    paste = make_paste_options(options, None, restorer.regions, restorer.parser)
    source, target = job.source.absolute(), job.target.absolute()
    segments = find_segments(
        restorer.model,
        restorer.detector,
        source,
        target,
        make_options(options, paste),
        folder.absolute(),
        on_progress=Pace(on_progress),
        on_notice=lambda message: restorer.notify(name, message),
        label=label_model(options.model),
    )
    template = choose_template(options.template, restorer.model.config)
    return FilmParts(name, str(source), str(target), str(folder.absolute()), template), segments


def make_tasks(parts: FilmParts, segments: Segments) -> Iterator[Task]:
    """Yield a task for each segment; see `SegmentRenderer`."""
    for number, (first, last) in enumerate(segments.spans):
        payload = {"parts": list(parts), "number": number, "span": [first, last]}
        yield Task(
            str(segments.path(number)), f"{parts.name}, frames {first} to {last - 1}", payload
        )


def list_entries(parts: FilmParts, segments: Segments, spec: str) -> Iterator[Entry]:
    """Yield the results to ask for, one for each segment; `spec` is that of the film."""
    for task in make_tasks(parts, segments):
        payload = json.dumps(task.payload)
        yield Entry(task.name, task.source, payload, f"{spec} {task.payload['number']}", None)


class SegmentRenderer:
    """Renders segments of films. The film of the last one stays open.

    Args:
        options: the options of `gpen restore`.
        notify: called with a file's name and what the user should know of it.

    Raises:
        GPENError: a network cannot be loaded.
    """

    def __init__(self, options: RestoreOptions, notify: Callable[[str, str], None]) -> None:
        regions = choose_regions(options)
        self._options = options
        self._model: Runner = load_model(options, RESTORE, notify)
        parser = load_chosen_parser(options, options.device)
        self._paste = make_paste_options(options, None, regions, parser)
        self._open: tuple[FilmParts, Segments, Renderer] | None = None

    def work(self, task: Task) -> Result:
        """Render the segment of a task, unless its file is there from an interrupted run."""
        return do_task(task, lambda: self._render(task))

    def _render(self, task: Task) -> Result:
        first, last = task.payload["span"]
        segments, renderer = self._find(FilmParts(*task.payload["parts"]))
        path = segments.path(task.payload["number"])
        if task.again or not exists(path):
            renderer.render(first, last, path)
        length = path.stat().st_size
        return Result(task.name, task.source, DONE, f"{last - first} frames", bytes=length)

    def _find(self, parts: FilmParts) -> tuple[Segments, Renderer]:
        if self._open is None or self._open[0] != parts:
            segments = parts.open(self._options, self._paste)
            self._open = parts, segments, segments.make_renderer(self._model)
        return self._open[1:]


def join_parts(parts: FilmParts, options: RestoreOptions, *, overwrite: bool) -> Outcome:
    """Join the segments of a film, unless that was done already; return what was done.

    Raises:
        GPENError: a segment is missing, the result cannot be written, or, after it was written, the
            film is damaged.
    """
    target = Path(parts.target)
    segments = parts.open(options, PasteOptions())
    missing = sum(not exists(segments.path(n)) for n in range(len(segments.spans)))
    if missing:
        raise GPENError(
            f"{missing} of {len(segments.spans)} segments of {parts.name} are missing; {target} "
            "is not written."
        )
    mark = Path(parts.folder) / _JOINED
    if not _is_joined(mark, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        segments.join(target, overwrite=overwrite)
        with write_atomically(mark, overwrite=True) as scratch:
            scratch.write_text(json.dumps({"bytes": target.stat().st_size}), encoding="utf-8")
    return describe(parts, segments)


def describe(parts: FilmParts, segments: Segments) -> Outcome:
    """Say what was done to a film.

    Raises:
        ImageError: it is damaged.
    """
    frames = segments.last - segments.first
    done = f"{frames} frames, {segments.count_with_faces()} with faces"
    if segments.damage:
        raise ImageError(
            f"{parts.name}: {segments.damage}. {parts.target} holds what could be read: {done}."
        )
    return Outcome(done)


def _is_joined(mark: Path, target: Path) -> bool:
    if not is_file(mark) or not is_file(target):
        return False
    values: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8"))
    return values["bytes"] == os.stat(target).st_size  # noqa: PTH116
