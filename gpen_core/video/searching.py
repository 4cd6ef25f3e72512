"""The first pass over a film: find the faces of all frames, and what of the file is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colours import Colours
from .finding import Finder, Found
from .prefetching import prefetch
from .reading import FilmReader, Numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..detectors import Detector
    from .films import Film
    from .options import VideoOptions, Watcher
    from .plans import TrackFile

_LOOK_BACK = 4
"""Frames that are decoded again before the search goes on, to compare the next one with."""


def find_faces(
    film: Film,
    detector: Detector,
    options: VideoOptions,
    template: str,
    tracks: TrackFile,
    watcher: Watcher,
) -> tuple[list[Found], str | None]:
    """Find the faces of all frames, or of those that an earlier run did not reach.

    Args:
        film: the film.
        detector: finds faces in a frame.
        options: the user's choices.
        template: faces that it does not fit are left out.
        tracks: holds the records of an earlier run, and gets the new ones.
        watcher: is told how far it is.

    Returns:
        The records of all frames, and what could not be read, or None.
    """
    records, report = tracks.read()
    if report is not None:
        return records, report["damage"]
    finder = Finder(
        detector,
        Colours.of(film.layout, film.colours, film.height),
        (film.width, film.height),
        every=options.detect_every,
        threshold=options.threshold,
        min_size=options.min_size,
        template=template,
    )
    reader = FilmReader(film)
    damage = None
    with prefetch(_continue(reader, records)) as frames:
        for numbered in frames:
            if numbered.number < len(records):
                finder.repeat(records[numbered.number], numbered)
                continue
            shown = float(numbered.time * film.time_base)
            if options.is_after(shown):
                break
            is_inside = not options.is_before(shown)
            record = finder.find(numbered) if is_inside else finder.skip(numbered)
            tracks.append(record)
            records.append(record)
            watcher.report("faces", len(records), film.expected)
        else:
            damage = describe_damage(film, reader, records)
    tracks.finish({"damage": damage})
    return records, damage


def _continue(reader: FilmReader, records: list[Found]) -> Iterator[Numbered]:
    """Yield the frames that are not found yet, and a few before them."""
    first = max(0, len(records) - _LOOK_BACK)
    if first == 0:
        return reader.read_all()
    return reader.read_from(first, [record.time for record in records])


def describe_damage(film: Film, reader: FilmReader, records: list[Found]) -> str | None:
    """Say what could not be read, or return None."""
    end = float(1 / film.rate + records[-1].time * film.time_base) if records else 0.0
    whole = None if film.duration is None else film.begins + film.duration
    missing = 0 if whole is None else whole - end
    if reader.broke or missing > max(0.5, 3 / float(film.rate)):
        of = "" if whole is None else f" of {whole:.2f} s"
        return f"the file ends early: it could be read up to {end:.2f} s{of}"
    if reader.damaged:
        return f"{reader.damaged} packets or frames of the file are damaged"
    return None
