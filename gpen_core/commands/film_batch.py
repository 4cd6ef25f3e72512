"""`gpen restore --jobs` with films: this process finds the faces, workers render the segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..batch.driver import drive
from ..batch.work import DONE
from ..errors import GPENError
from ..video.state import find_folder
from .film_segments import describe, find_parts, make_tasks
from .restorer import Restorer
from .running import ADVICE, attempt, make_bar, report, show_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..batch.driver import Pool
    from ..video.segments import Segments
    from .film_segments import FilmParts
    from .jobs import Job
    from .restore_options import RestoreOptions
    from .running import OnJobProgress, Outcome, Reporter


def restore_films(
    args: RestoreOptions, jobs: Sequence[Job], pool: Pool, reporter: Reporter
) -> None:
    """Restore films one after the other, each by all workers, and report how each went.

    Args:
        args: the options.
        jobs: the films.
        pool: workers that do the tasks of `make_tasks`.
        reporter: prints how each film went.
    """
    restorer = Restorer.load(args, report)

    def work(job: Job, on_progress: OnJobProgress) -> Outcome:
        del on_progress  # each pass has a bar of its own
        return _restore_film(job, restorer, pool)

    for job in jobs:
        try:
            attempt(work, job, lambda done, total, words=None, /: None, reporter, advice=ADVICE)
        except KeyboardInterrupt:
            report(str(job.source), _advise(job))
            raise


def _restore_film(job: Job, restorer: Restorer, pool: Pool) -> Outcome:
    """Restore a film.

    Raises:
        GPENError: a segment failed, or see `find_parts`. What is done is kept.
    """
    with make_bar(1) as bar:
        progress = show_progress(job, bar, 0)
        parts, segments = find_parts(job, restorer, find_folder(job.target), progress)
    try:
        _render(job, restorer, pool, parts, segments)
    finally:
        segments.state.release()
    return describe(parts, segments)


def _render(job: Job, restorer: Restorer, pool: Pool, parts: FilmParts, segments: Segments) -> None:
    """Let the workers render the segments, and join these."""
    options = restorer.options
    failed = []
    told: set[tuple[str, str]] = set()
    with make_bar(len(segments.spans)) as bar:
        for result in drive(make_tasks(parts, segments), pool, tries=options.tries):
            bar.update()
            if result.state != DONE:
                failed.append(f"{result.source}: {result.text}")
            for notice in set(result.notices) - told:
                report(*notice)
            told.update(result.notices)
    if failed:
        more = f" {len(failed) - 1} more segments failed." if len(failed) > 1 else ""
        raise GPENError(f"{failed[0].rstrip('.')}.{more} {_advise(job)}")
    segments.join(job.target, overwrite=options.overwrite)
    segments.state.remove()


def _advise(job: Job) -> str:
    return f"{find_folder(job.target)} keeps what is done; the same command goes on there."
