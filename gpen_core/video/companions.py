"""Copy everything of a film that is not its moving picture: sound, subtitles, covers, fonts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from av.stream import Disposition

from ..errors import ImageError
from .opening import open_film

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

    from .films import Film

CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm",
}  # fmt: skip
"""FFmpeg's formats of the films that are written, by suffix."""
_OPTIONAL = ("data", "attachment", "video", "unknown")
"""Kinds of streams that a result may lack, with a notice. Sound and subtitles it may not."""


@dataclass(frozen=True)
class Companions:
    """Which streams of the source go into the result.

    Attributes:
        audio: copy the sound.
        subtitles: copy the subtitles.
    """

    audio: bool = True
    subtitles: bool = True

    def accept(self, stream: Stream, film: Film) -> bool:
        """Whether a stream is to be copied."""
        if stream.index == film.index:
            return False
        if stream.type == "video":  # a cover; further films are rare, and would be unrestored
            return bool(stream.disposition & Disposition.attached_pic)
        return {"audio": self.audio, "subtitle": self.subtitles}.get(stream.type, True)


def check_companions(film: Film, target: Path, companions: Companions, encoder: str) -> list[str]:
    """Try whether the kind of film that `target` names can hold the source's streams.

    Args:
        film: the source.
        target: the result.
        companions: the streams to copy.
        encoder: FFmpeg's name of the encoder of the picture.

    Returns:
        What the user should know: the streams that the result will lack.

    Raises:
        ImageError: it cannot hold a sound or subtitle, or films of that suffix are not written.
    """
    with (
        open_film(film.path) as source,
        av.open(io.BytesIO(), "w", format=find_format(target)) as made,
    ):
        try:
            made.add_stream(encoder)
        except ValueError as error:
            raise ImageError(
                f"{target.suffix} cannot hold what {encoder} writes. Name the result .mkv, or "
                "choose another --codec."
            ) from error
        copies, notices = add_companions(made, source, film, target, companions)
        for number, stream in enumerate(source.streams.video):
            if stream.index not in copies and stream.index != film.index:
                notices.append(f"the result does not keep video stream {number}.")
    return notices


def find_format(target: Path) -> str:
    """Return FFmpeg's name of the format that a file's suffix names.

    Raises:
        ImageError: films of that suffix are not written.
    """
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        raise ImageError(
            f"{target}: films are written as {', '.join(CONTAINERS)}, not {target.suffix}."
        ) from None


def add_companions(
    made: OutputContainer, source: InputContainer, film: Film, target: Path, companions: Companions
) -> tuple[dict[int, Stream], list[str]]:
    """Add a copy of every stream but the film's; return them by the source's index, and notices."""
    copies: dict[int, Stream] = {}
    notices: list[str] = []
    for stream in source.streams:
        if not companions.accept(stream, film):
            continue
        name = _name_stream(stream)
        if _lacks_decoder(stream):
            notices.append(
                f"the result does not keep {name}, which this build of PyAV cannot copy."
            )
            continue
        try:
            copies[stream.index] = _add_copy(made, stream, film)
        except (FFmpegError, ValueError, AttributeError, TypeError) as error:
            if stream.type not in _OPTIONAL:
                raise ImageError(
                    f"{target.suffix} cannot hold {name} of {film.path}. Name the result .mkv, "
                    f"which holds nearly everything, or pass {_option(stream)} none."
                ) from error
            notices.append(f"the result does not keep {name}, which {target.suffix} cannot hold.")
    _refuse_silence(source, film, companions)
    return copies, notices


def _lacks_decoder(stream: Stream) -> bool:
    """Whether PyAV cannot copy a stream, because FFmpeg only knows the name of its codec.

    Apple's spatial sound (APAC) beside a stream of AAC is an example.
    """
    return stream.codec_context is None and stream.type in ("audio", "subtitle", "video")


def _refuse_silence(source: InputContainer, film: Film, companions: Companions) -> None:
    """Raise ImageError if there is sound, and none of it can be copied."""
    sound = source.streams.audio
    if companions.audio and sound and all(map(_lacks_decoder, sound)):
        raise ImageError(
            f"{film.path}: this build of PyAV cannot copy {_name_stream(sound[0])}, because it has "
            "no decoder for it. Convert the sound to AAC first, or pass --audio none."
        )


def _add_copy(made: OutputContainer, stream: Stream, film: Film) -> Stream:
    in_matroska = made.format.name == "matroska"
    if stream.type == "attachment":
        if not in_matroska:
            raise ValueError("attachments are Matroska's")
        return _attach(made, stream, stream.data)  # type: ignore[attr-defined]
    if stream.type == "video" and in_matroska:  # there, a cover is an attachment, too
        return _attach(made, stream, _read_cover(film, stream.index))
    copy = made.add_stream_from_template(stream, opaque=True)
    for key, value in stream.metadata.items():
        if key.upper() not in OWN_TAGS:
            copy.metadata[key] = value
    # PyAV before 17.1 takes numbers only.
    copy.disposition = stream.disposition.value  # type: ignore[assignment]
    return copy


def _attach(made: OutputContainer, stream: Stream, data: bytes) -> Stream:
    kind = stream.codec_context.name if stream.codec_context else "octet-stream"
    picture = {"mjpeg": ("cover.jpg", "image/jpeg")}.get(kind, (f"cover.{kind}", f"image/{kind}"))
    name, mimetype = ("attachment", "application/octet-stream")
    if stream.type == "video":
        name, mimetype = picture
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return made.add_attachment(tags.get("filename", name), tags.get("mimetype", mimetype), data)


def _read_cover(film: Film, index: int) -> bytes:
    with open_film(film.path) as source:
        return bytes(next(source.demux(source.streams[index])))


OWN_TAGS = (
    "DURATION", "ENCODER", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "MAJOR_BRAND",
    "MINOR_VERSION", "COMPATIBLE_BRANDS", "VENDOR_ID", "ROTATE",
)  # fmt: skip
"""Tags that describe the file they stand in; a muxer writes its own."""


def _name_stream(stream: Stream) -> str:
    codec = stream.codec_context.name if stream.codec_context else stream.type
    return f"stream {stream.index} ({stream.type}, {codec})"


def _option(stream: Stream) -> str:
    return "--audio" if stream.type == "audio" else "--subtitles"
