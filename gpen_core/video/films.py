"""The facts about a film that reading, restoring and writing share."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from av.error import FFmpegError
from av.stream import Disposition

from ..errors import ImageError
from .layouts import ColourTags, Layout, choose_layout
from .opening import open_film

if TYPE_CHECKING:
    from pathlib import Path

    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

PQ, HLG = 16, 18
"""Transfer functions of HDR (H.273, table 3)."""
_ATTEMPTS = 50
"""Packets that are tried before a film without a picture is given up."""


@dataclass(frozen=True)
class Film:
    """A film file's moving picture.

    Attributes:
        path: the file.
        index: the number of its video stream among all streams.
        width, height: of the upright picture, in pixels.
        turns: quarter turns, anticlockwise, that make the decoded picture upright.
        layout: the format of its frames, once they are turned into one of `LAYOUTS`.
        pixel_aspect: width of a pixel over its height, upright; None if not stated.
        colours: how its colours are stated.
        time_base: seconds of one unit of time.
        rate: frames a second, on average.
        begins: when the first frame is shown, in seconds.
        duration: seconds from the first frame to the end of the last, or None if not known.
        frames: how many frames it has by its header, 0 if not known.
        notices: what the user should know.
    """

    path: Path
    index: int
    width: int
    height: int
    turns: int
    layout: Layout
    pixel_aspect: Fraction | None
    colours: ColourTags
    time_base: Fraction
    rate: Fraction
    begins: float
    duration: float | None
    frames: int
    notices: tuple[str, ...] = field(default=())

    @property
    def expected(self) -> int:
        """About how many frames it has, 0 if nobody knows."""
        return self.frames or round((self.duration or 0) * self.rate)


def inspect_film(path: Path, *, hdr: bool = False) -> Film:
    """Open a film, decode its first frame and return the facts.

    Args:
        path: the file.
        hdr: accept HDR (PQ and HLG).

    Raises:
        ImageError: it is no film, holds no moving picture, is encrypted, HDR, or in a codec that
            this build of FFmpeg lacks.
        OSError: it cannot be read.
    """
    with open_film(path) as container:
        stream = find_video(path, container)
        frame = _decode_first(path, container, stream)
        tags = ColourTags.of(frame, stream)
        if tags.transfer in (PQ, HLG) and not hdr:
            kind = "PQ" if tags.transfer == PQ else "HLG"
            raise ImageError(
                f"{path} is HDR ({kind}). The networks know standard brightness only. Convert it "
                "to SDR (BT.709) first, or pass --hdr to restore its coded values as they are."
            )
        turns = round(frame.rotation / 90) % 4
        width, height = frame.width, frame.height
        layout = choose_layout(frame.format.name)
        aspect = stream.sample_aspect_ratio or None
        if turns % 2:
            width, height = height, width
            aspect = 1 / aspect if aspect else None
            if layout.across != layout.down:  # 4:2:2 on its side is no common format
                layout = choose_layout(f"yuv444p{'' if layout.bits == 8 else f'{layout.bits}le'}")
        time_base = stream.time_base or Fraction(1, 90000)
        return Film(
            path=path,
            index=stream.index,
            width=width,
            height=height,
            turns=turns,
            layout=layout,
            pixel_aspect=aspect,
            colours=tags,
            time_base=time_base,
            rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            begins=float((frame.pts or 0) * time_base),
            duration=find_duration(stream, container),
            frames=stream.frames,
            notices=tuple(_list_notices(frame)),
        )


def find_video(path: Path, container: InputContainer) -> VideoStream:
    """Return the first stream of moving pictures.

    Raises:
        ImageError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    held = ", ".join(stream.type for stream in container.streams) or "no stream"
    raise ImageError(
        f"{path} holds no moving picture, only {held}. Restore pictures one by one, under the name "
        "of their kind."
    )


def find_duration(stream: VideoStream, container: InputContainer) -> float | None:
    """Return the seconds of a video stream by its header, or None."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if text := stream.metadata.get("DURATION"):  # Matroska's tag of one stream
        hours, minutes, seconds = (float(part) for part in text.split(":"))
        end = hours * 3600 + minutes * 60 + seconds
        start = (stream.start_time or 0) * (stream.time_base or 0)
        return end - float(start)
    if len(container.streams) == 1 and container.duration:
        return container.duration / 1e6
    return None


def _decode_first(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    if stream.codec_context is None:
        raise ImageError(
            f"{path}: this build of PyAV has no decoder for its video stream {stream.index}. "
            "Convert the film to H.264 first."
        )
    encrypted = False
    try:
        for number, packet in enumerate(container.demux(stream)):
            encrypted |= packet.has_sidedata("encryption_info")
            try:
                frames = packet.decode()
            except FFmpegError:
                frames = []
            if frames:
                return frames[0]
            if encrypted or number > _ATTEMPTS:
                break
    except FFmpegError as error:
        raise ImageError(f"{path}: no frame can be read: {error.strerror}.") from error
    if encrypted:
        raise ImageError(
            f"{path} is encrypted (DRM). It can be restored only from a copy that is not."
        )
    raise ImageError(
        f"{path}: no frame of its {stream.codec_context.name} stream can be decoded. The file is "
        "empty or damaged; copy it again."
    )


def _list_notices(frame: VideoFrame) -> list[str]:
    notices = []
    if frame.interlaced_frame:
        notices.append(
            "the film is interlaced. Its lines are restored as one picture; deinterlace it first "
            "for clean edges."
        )
    if any(part.is_alpha for part in frame.format.components):
        notices.append("the result does not keep the film's transparency.")
    return notices
