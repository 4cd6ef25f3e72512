"""Encode frames into segments: small files of one video stream that can be joined by packets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError

from ..errors import ImageError
from ..files import write_atomically
from ..names import AUTO
from .layouts import LAYOUTS, Layout, copy_frame, view_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from av import VideoFrame
    from av.video.stream import VideoStream

    from .films import Film

ENCODERS = {
    "h264": ("libx264", "h264_videotoolbox"),
    "hevc": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
}
"""The encoders of each codec, the first that is found is taken; other names are encoders."""
CRF = 16
"""Default quality: a loss that is hard to see, so that quality is not the encoder's."""
_QUALITY_SCALE = {"mpeg4": 2, "mjpeg": 2, "mpeg2video": 2}
"""Encoders that know no CRF, and their quantiser's scale for the same end."""
_WITH_CRF = ("libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx-vp9")
_WITH_PRESET = ("libx264", "libx265", "libsvtav1")
_IN_MP4 = (*_WITH_CRF, "mpeg4", "h264_videotoolbox")
_LONGEST_UNIT = {"mpeg4": 65535}
"""Most units of time in a second that a codec can hold."""


@dataclass(frozen=True)
class Encoding:
    """How a film is encoded: what the user chose, made complete for one film.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        layout: the format of the frames.
        width, height: of the encoded picture.
        crf, preset: as the encoder understands them; None where it does not.
        time_base: seconds of one unit of time of its packets.
        notices: what the user should know.
    """

    encoder: str
    layout: Layout
    width: int
    height: int
    crf: int | None
    preset: str | None
    time_base: Fraction
    notices: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        """FFmpeg's name of the format of the segments."""
        # Matroska keeps no decoding times, which reordered frames need.
        return "mp4" if self.encoder in _IN_MP4 else "matroska"

    @property
    def suffix(self) -> str:
        """The suffix of the segments' files."""
        return ".mp4" if self.container == "mp4" else ".mkv"


def choose_encoding(
    film: Film,
    *,
    codec: str = "h264",
    crf: int | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
) -> Encoding:
    """Complete the user's choices for a film.

    Args:
        film: the film.
        codec: h264, hevc, av1, vp9, or the name of one of FFmpeg's encoders.
        crf: the quality, lower is better; None takes `CRF`.
        preset: the encoder's balance of time and size; None takes its own.
        pix_fmt: the format of the frames, one of `LAYOUTS`; None keeps the film's where the
            encoder can hold it.

    Raises:
        ImageError: the encoder or format is unknown, or they do not fit.
    """
    encoder = find_encoder(codec)
    held = [name for name in _list_formats(encoder) if name in LAYOUTS]
    if pix_fmt is not None and pix_fmt not in held:
        raise ImageError(f"{encoder} cannot write {pix_fmt}. Name one of {', '.join(held)}.")
    layout = LAYOUTS[pix_fmt] if pix_fmt else _choose_layout(film.layout, held, encoder)
    notices = []
    width, height = film.width, film.height
    if width % layout.across or height % layout.down:
        even = f"yuv444p{layout.name[7:]}"
        if pix_fmt is None and even in held:
            layout = LAYOUTS[even]
        else:
            width += width % layout.across
            height += height % layout.down
            notices.append(
                f"{layout.name} holds even sizes only: the last row or column of "
                f"{film.width}×{film.height} is repeated. --pix-fmt {even} needs none."
            )
    if layout.bits < film.layout.bits:
        notices.append(f"the result has {layout.bits} bits, the film {film.layout.bits}.")
    if crf is not None and encoder not in _WITH_CRF:
        raise ImageError(f"{encoder} knows no CRF. Leave out --crf, or choose another --codec.")
    if preset is not None and encoder not in _WITH_PRESET:
        raise ImageError(f"{encoder} knows no preset. Leave out --preset.")
    return Encoding(
        encoder,
        layout,
        width,
        height,
        (CRF if crf is None else crf) if encoder in _WITH_CRF else None,
        preset,
        _choose_time_base(encoder, film),
        tuple(notices),
    )


def choose_codec(codec: str, target: Path) -> str:
    """Return `codec`; for "auto" H.264, or VP9 where the result's kind holds no H.264."""
    if codec != AUTO:
        return codec
    return "vp9" if target.suffix.lower() == ".webm" else "h264"


def find_encoder(codec: str) -> str:
    """Return the name of an encoder that this build of FFmpeg has.

    Raises:
        ImageError: it has none of that name.
    """
    for name in ENCODERS.get(codec, (codec,)):
        try:
            if av.Codec(name, "w").type == "video":
                return name
        except UnknownCodecError:
            continue
    raise ImageError(
        f"This build of PyAV has no video encoder for {codec!r}. Name one of "
        f"{', '.join(ENCODERS)}, or one of FFmpeg's encoders that it has, such as mpeg4 or ffv1."
    )


@contextmanager
def encode_segment(
    path: Path, film: Film, encoding: Encoding, first: int
) -> Iterator[Callable[[VideoFrame], None]]:
    """Yield a function that encodes one frame after the other into a new file.

    The file is there once the block ends without error, replacing one of that name. Its times
    count from `first`, the time of its first frame in units of the film.

    Raises:
        ImageError: the encoder refused a frame or an option.
    """
    with write_atomically(path, overwrite=True) as scratch:
        try:
            with av.open(str(scratch), "w", format=encoding.container) as container:
                stream = _add_stream(container, film, encoding)

                def encode(frame: VideoFrame) -> None:
                    container.mux(stream.encode(prepare(frame, film, encoding, first)))

                yield encode
                container.mux(stream.encode(None))
        except FFmpegError as error:
            raise ImageError(
                f"{encoding.encoder} could not encode {film.path}: {error.strerror}. Try another "
                "--codec, --preset or --pix-fmt."
            ) from error


def prepare(frame: VideoFrame, film: Film, encoding: Encoding, first: int) -> VideoFrame:
    """Return a frame in the encoder's format, size and units of time."""
    time = frame.pts
    if (frame.width, frame.height) != (encoding.width, encoding.height):
        frame = _repeat_edge(frame, film.layout)
    if frame.format.name != encoding.layout.name:
        changed = frame.reformat(format=encoding.layout.name)
        changed.color_range, changed.colorspace = frame.color_range, frame.colorspace
        frame = changed
    frame.pts = round(((time or 0) - first) * film.time_base / encoding.time_base)
    frame.time_base = encoding.time_base
    return frame


def _add_stream(container: object, film: Film, encoding: Encoding) -> VideoStream:
    options = {}
    if encoding.crf is not None:
        options["crf"] = str(encoding.crf)
        if encoding.encoder == "libvpx-vp9":
            options["b"] = "0"  # else the CRF is only a bound
    if encoding.preset is not None:
        options["preset"] = encoding.preset
    if encoding.encoder == "libx265":
        options["x265-params"] = "log-level=error"
    if encoding.encoder in _QUALITY_SCALE:
        quality = 118 * _QUALITY_SCALE[encoding.encoder]  # FF_QP2LAMBDA
        options["global_quality"] = str(quality)
    stream = container.add_stream(encoding.encoder, rate=film.rate, options=options)  # type: ignore[attr-defined]
    stream.width, stream.height = encoding.width, encoding.height
    stream.pix_fmt = encoding.layout.name
    context = stream.codec_context
    context.time_base = encoding.time_base
    stream.time_base = encoding.time_base
    if film.pixel_aspect:
        context.sample_aspect_ratio = film.pixel_aspect
    context.color_range = film.colours.range
    context.color_primaries, context.color_trc = film.colours.primaries, film.colours.transfer
    context.colorspace = film.colours.matrix
    if encoding.encoder in _QUALITY_SCALE:
        context.qscale = True
    return stream


def _repeat_edge(frame: VideoFrame, layout: Layout) -> VideoFrame:
    """Repeat the last row and column of luma, where there are an odd number."""
    planes = view_planes(frame, layout)
    height, width = planes[0].shape
    planes = [
        np.pad(
            plane,
            ((0, (height + height % 2) // down - plane.shape[0]),
             (0, (width + width % 2) // across - plane.shape[1])),
            mode="edge",
        )
        for plane, across, down in zip(
            planes, (1, layout.across, layout.across), (1, layout.down, layout.down), strict=True
        )
    ]  # fmt: skip
    return copy_frame(frame, layout, planes)


def _choose_layout(layout: Layout, held: list[str], encoder: str) -> Layout:
    """Return the encoder's format nearest to a film's."""
    if layout.name in held:
        return layout
    if not held:
        raise ImageError(f"{encoder} writes no planar YUV. Choose another --codec.")
    finer = [LAYOUTS[name] for name in held]
    return min(
        finer,
        key=lambda one: (
            one.bits < layout.bits, one.across * one.down > layout.across * layout.down,
            abs(one.bits - layout.bits), abs(one.across * one.down - layout.across * layout.down),
        ),
    )  # fmt: skip


def _choose_time_base(encoder: str, film: Film) -> Fraction:
    most = _LONGEST_UNIT.get(encoder)
    if most is None or film.time_base.denominator <= most:
        return film.time_base
    rate = film.rate.limit_denominator(1001)
    return Fraction(1, rate.numerator * max(1, most // 2 // rate.numerator))


@cache
def _list_formats(encoder: str) -> tuple[str, ...]:
    return tuple(one.name for one in av.Codec(encoder, "w").video_formats or ())
