"""Decode a film's frames, upright and numbered from 0, from any frame on."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.error import FFmpegError
from av.logging import get_level
from av.video.frame import PictureType

from ..errors import ImageError
from .films import find_video
from .layouts import copy_frame, keep_facts, view_planes
from .opening import open_film

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from .films import Film

SEEK_BACK = 8
"""Up to this frame, decoding from the beginning is as fast as a search."""


class Numbered(NamedTuple):
    """A frame and its number in the film, from 0.

    Attributes:
        number: the number.
        time: when it is shown, in units of the film's time base; later than every frame before.
        frame: the picture, upright, in the film's layout.
    """

    number: int
    time: int
    frame: VideoFrame


class FilmReader:
    """Decodes a film and remembers what was damaged.

    Attributes:
        damaged: packets or frames that could not be decoded in full.
        broke: why reading stopped before the end of the file, or None.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self.damaged = 0
        self.broke: str | None = None

    def read_all(self) -> Iterator[Numbered]:
        """Decode every frame from the beginning."""
        with open_film(self.film.path) as container:
            stream = self._open_stream(container)
            yield from self._number(self._decode(container, stream))

    def read_from(self, first: int, times: Sequence[int]) -> Iterator[Numbered]:
        """Decode from frame `first` on.

        Args:
            first: the number of the first frame to yield.
            times: the times of all frames, as `read_all` gave them.

        Raises:
            ImageError: the file gave other frames when its times were noted.
        """
        with open_film(self.film.path) as container:
            stream = self._open_stream(container)
            frames = self._decode(container, stream)
            found = self._seek(container, stream, frames, first, times)
            if found is None:
                yield from self._skip(first, times)
                return
            yield self._make_numbered(first, times[first], found)
            yield from self._number(frames, first + 1, times[first])

    def _seek(
        self,
        container: InputContainer,
        stream: VideoStream,
        frames: Iterator[VideoFrame],
        first: int,
        times: Sequence[int],
    ) -> VideoFrame | None:
        """Go to frame `first` by way of a frame that can be decoded alone; None if that fails."""
        if first <= SEEK_BACK:
            return None
        try:
            container.seek(times[first], stream=stream, backward=True)
        except FFmpegError:
            return None
        found = next(frames, None)
        number = None if found is None else _find(times, _time_of(found))
        while found is not None and number is not None and number < first:
            found, number = next(frames, None), number + 1
            if found is not None and _time_of(found) != times[number]:
                return None
        return found if number == first else None

    def _skip(self, first: int, times: Sequence[int]) -> Iterator[Numbered]:
        """Decode from the beginning, where a search did not find its way."""
        for numbered in self.read_all():
            if numbered.number < len(times) and numbered.time != times[numbered.number]:
                raise ImageError(
                    f"{self.film.path} gives other frames than before. Was it replaced meanwhile? "
                    "Start again with --restart."
                )
            if numbered.number >= first:
                yield numbered

    def _open_stream(self, container: InputContainer) -> VideoStream:
        stream = find_video(self.film.path, container)
        if get_level() is None:
            stream.thread_type = "AUTO"
        # Else PyAV passes FFmpeg's messages to Python, and a decoder that is closed while its
        # threads run waits for them for ever: they wait for the lock of the interpreter to log.
        return stream

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Decode packet by packet, so that a damaged one costs no others."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self.broke = error.strerror
                packet = None
            if packet is None:
                break
            yield from self._decode_packet(packet)
        if self.broke:
            yield from self._flush(stream)

    def _decode_packet(self, packet: object) -> Iterator[VideoFrame]:
        try:
            frames = packet.decode()  # type: ignore[attr-defined]
        except FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            self.damaged += frame.is_corrupt
            yield frame

    def _flush(self, stream: VideoStream) -> Iterator[VideoFrame]:
        try:
            yield from stream.decode(None)
        except FFmpegError:
            return

    def _number(
        self, frames: Iterator[VideoFrame], number: int = 0, last: int | None = None
    ) -> Iterator[Numbered]:
        step = max(1, round(1 / (self.film.rate * self.film.time_base)))
        for count, frame in enumerate(frames, number):
            time = _time_of(frame)
            if time is None or (last is not None and time <= last):
                time = 0 if last is None else last + step if time is None else last + 1
            last = time
            yield self._make_numbered(count, time, frame)

    def _make_numbered(self, number: int, time: int, frame: VideoFrame) -> Numbered:
        frame = self._turn(frame)
        frame.pts, frame.time_base = time, self.film.time_base
        return Numbered(number, time, frame)

    def _turn(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame upright and in the film's layout; itself if it is so already."""
        film = self.film
        wanted = film.layout.name
        given = frame
        is_full = frame.format.name == wanted.replace("yuv", "yuvj")
        if frame.format.name != wanted and not is_full:
            frame = keep_facts(given, frame.reformat(format=wanted))
        if film.turns or is_full:
            planes = [np.rot90(plane, film.turns) for plane in view_planes(frame, film.layout)]
            frame = copy_frame(given, film.layout, planes)
            if is_full:
                frame.color_range = 2
        upright = (frame.width, frame.height)
        if upright != (film.width, film.height):
            raise ImageError(
                f"{film.path}: the picture changes its size from {film.width}×{film.height} to "
                f"{upright[0]}×{upright[1]} on the way. Cut the film there, and restore its parts."
            )
        # Encoders take a frame's kind for an order, and would copy the source's.
        frame.pict_type = PictureType.NONE
        return frame


def _time_of(frame: VideoFrame) -> int | None:
    return frame.dts if frame.pts is None else frame.pts


def _find(times: Sequence[int], time: int | None) -> int | None:
    """Return the number of the frame of that time, or None."""
    if time is None:
        return None
    number = bisect.bisect_left(times, time)
    return number if number < len(times) and times[number] == time else None
