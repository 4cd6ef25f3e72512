"""Join segments by packets, beside everything of the source that is not the moving picture."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from av.stream import Disposition

from ..errors import ImageError
from .companions import OWN_TAGS, Companions, add_companions, find_format
from .films import find_video
from .opening import open_film

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from .films import Film


@dataclass(frozen=True)
class Cut:
    """The part of a film that the result holds, in seconds of the film.

    Attributes:
        start: when its first frame is shown; the result begins there. None keeps all times.
        end: when it ends; None is the end of the film.
    """

    start: float | None = None
    end: float | None = None


def join_segments(
    segments: Sequence[tuple[Path, int]],
    film: Film,
    target: Path,
    *,
    to: Path,
    companions: Companions,
    cut: Cut,
) -> None:
    """Write the finished film.

    Args:
        segments: the files, and the time of the first frame of each in units of the film.
        film: the source.
        target: the result; its suffix chooses the format.
        to: the file to write, as a scratch file for `target`.
        companions: the streams to copy.
        cut: the part of the film that the segments hold.

    Raises:
        ImageError: a stream cannot be copied.
    """
    name = find_format(target)
    options = {"movflags": "+faststart"} if name in ("mp4", "mov") else {}
    try:
        with (
            open_film(film.path) as source,
            av.open(str(segments[0][0])) as first,
            av.open(str(to), "w", format=name, container_options=options) as made,
        ):
            video = made.add_stream_from_template(first.streams.video[0], opaque=True)
            _describe_video(video, first.streams.video[0], find_video(film.path, source), film)
            copies, _ = add_companions(made, source, film, target, companions)
            made.metadata.update(_choose_metadata(source))
            made.set_chapters(_cut_chapters(source, cut))
            _mux(made, _read_segments(segments, film, video, cut), _copy(source, copies, cut))
    except FFmpegError as error:
        raise ImageError(f"{target} could not be written: {error.strerror}.") from error


def _choose_metadata(source: InputContainer) -> dict[str, str]:
    return {key: text for key, text in source.metadata.items() if key.upper() not in OWN_TAGS}


def _describe_video(video: Stream, segment: Stream, given: Stream, film: Film) -> None:
    """Give the result's picture what the source's stream says of itself."""
    video.time_base = segment.time_base
    video.disposition = given.disposition.value  # type: ignore[assignment]
    for key, value in given.metadata.items():
        if key.upper() not in OWN_TAGS:
            video.metadata[key] = value
    if film.pixel_aspect:
        video.sample_aspect_ratio = film.pixel_aspect  # type: ignore[attr-defined]


def _mux(made: OutputContainer, *sources: Iterator[Packet]) -> None:
    """Write packets of several sources in the order of their times."""
    for packet in heapq.merge(*sources, key=_seconds):
        made.mux_one(packet)


def _seconds(packet: Packet) -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return float((time or 0) * packet.time_base)


def _read_segments(
    segments: Sequence[tuple[Path, int]], film: Film, video: Stream, cut: Cut
) -> Iterator[Packet]:
    """Yield the packets of all segments at their times in the result."""
    begin = 0 if cut.start is None else segments[0][1]
    for path, first in segments:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            shift = (first - begin) * film.time_base / stream.time_base
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.dts is None:  # without reordering both times are one
                    packet.dts = packet.pts
                packet.pts = (packet.pts or 0) + round(shift)
                packet.dts = (packet.dts or 0) + round(shift)
                packet.stream = video
                yield packet


def _copy(source: InputContainer, copies: dict[int, Stream], cut: Cut) -> Iterator[Packet]:
    """Yield the source's other packets, those in the cut, at their times in the result."""
    streams = [source.streams[index] for index, copy in copies.items() if copy.type != "attachment"]
    if not streams:
        return
    packets = source.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file ends here; the reader of the picture reports it
            return
        if packet is None:
            return
        if packet.size == 0:
            continue
        stream = packet.stream
        if stream.disposition & Disposition.attached_pic:
            packet.pts = packet.dts = 0
        elif packet.pts is None or not _fit(packet, cut):
            continue
        packet.stream = copies[stream.index]
        yield packet


def _fit(packet: Packet, cut: Cut) -> bool:
    """Move a packet to its time in the result; tell whether it belongs there."""
    unit, time = packet.time_base, packet.pts or 0
    if cut.end is not None and time * unit >= cut.end:
        return False
    if cut.start is None:
        return True
    start = round(Fraction(cut.start) / unit)
    lead = max(0, start - time)
    if lead:
        # A subtitle that is shown already when the part begins is shown from there on.
        if packet.stream.type != "subtitle" or (packet.duration or 0) <= lead:
            return False
        packet.duration = (packet.duration or 0) - lead
    packet.dts = time + lead - start if packet.dts is None or lead else packet.dts - start
    packet.pts = time + lead - start
    return True


def _cut_chapters(source: InputContainer, cut: Cut) -> list:
    chapters = []
    for chapter in source.chapters():
        unit = chapter["time_base"] or Fraction(1, 1000)
        start = 0 if cut.start is None else round(Fraction(cut.start) / unit)
        end = chapter["end"] if cut.end is None else round(Fraction(cut.end) / unit)
        first, last = max(chapter["start"], start), min(chapter["end"], end)
        if first < last:
            chapters.append({**chapter, "start": first - start, "end": last - start})
    return chapters
