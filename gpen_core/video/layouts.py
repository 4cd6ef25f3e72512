"""Layouts of frames: planar YUV of 8 to 12 bits, and which one a film's frames are turned into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av import VideoFormat, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.video.stream import VideoStream


class Layout(NamedTuple):
    """A planar YUV format.

    Attributes:
        name: FFmpeg's name, such as yuv420p.
        bits: bits of a sample.
        across, down: luma samples per chroma sample.
    """

    name: str
    bits: int
    across: int
    down: int

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The dtype of the samples."""
        return np.uint8 if self.bits == 8 else np.uint16


_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
LAYOUTS = {
    name: Layout(name, bits, *_SUBSAMPLING[kind])
    for kind in _SUBSAMPLING
    for bits in (8, 10, 12)
    for name in [f"yuv{kind}p" + ("" if bits == 8 else f"{bits}le")]
}
"""The formats that frames are worked on in, by FFmpeg's name."""


def choose_layout(name: str) -> Layout:
    """Return the layout that holds all of a pixel format's colours, at its own subsampling.

    Formats of RGB and of unknown subsampling get 4:4:4. Transparency is left out.
    """
    given = VideoFormat(name, 64, 64)
    colours = [part for part in given.components if not part.is_alpha]
    most = max((part.bits for part in colours), default=8)
    bits = next((bits for bits in (8, 10) if most <= bits), 12)
    kind = "444"
    if not given.is_rgb and len(colours) == 3:
        chroma = (64 // colours[1].width, 64 // colours[1].height)
        kind = next((kind for kind, steps in _SUBSAMPLING.items() if steps == chroma), "444")
    elif not given.is_rgb and not given.has_palette and len(colours) == 1:
        kind = "420"  # grey
    return LAYOUTS[f"yuv{kind}p" + ("" if bits == 8 else f"{bits}le")]


@dataclass(frozen=True)
class ColourTags:
    """The numbers by which a stream states its colours (ITU-T H.273); 2 means not stated.

    Attributes:
        primaries, transfer, matrix: as in H.273.
        range: 1 for 16 … 235, 2 for 0 … 255, 0 for not stated.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0

    @classmethod
    def of(cls, frame: VideoFrame, stream: VideoStream) -> ColourTags:
        """Read the tags of a frame; those that PyAV 16 does not tell of it, of its stream."""
        context = stream.codec_context
        full = frame.format.name.startswith("yuvj")
        return cls(
            int(getattr(frame, "color_primaries", context.color_primaries)),
            int(getattr(frame, "color_trc", context.color_trc)),
            int(frame.colorspace),
            2 if full else int(frame.color_range),
        )


_KR_KB = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114),
    7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593),
}  # fmt: skip
"""Weights of red and blue in luma by matrix coefficients (H.273, table 4)."""
_HD_LINES = 720
"""Films of fewer lines that state no matrix have BT.601's, as players take it."""


def find_weights(tags: ColourTags, height: int) -> tuple[float, float]:
    """Return the weights of red and blue in luma."""
    return _KR_KB.get(tags.matrix, _KR_KB[1] if height >= _HD_LINES else _KR_KB[6])


def view_planes(frame: VideoFrame, layout: Layout) -> list[np.ndarray]:
    """Return the three planes of a frame as arrays [h, w] that share its memory."""
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(plane, layout.dtype)  # type: ignore[call-overload]
        step = plane.line_size // rows.itemsize
        planes.append(rows.reshape(-1, step)[: plane.height, : plane.width])
    return planes


def copy_frame(frame: VideoFrame, layout: Layout, planes: Sequence[np.ndarray]) -> VideoFrame:
    """Make a frame of other planes with the time and colours of `frame`."""
    height, width = planes[0].shape
    copy = VideoFrame(width, height, layout.name)
    for target, plane in zip(view_planes(copy, layout), planes, strict=True):
        np.copyto(target, plane)
    return keep_facts(frame, copy)


def keep_facts(frame: VideoFrame, copy: VideoFrame) -> VideoFrame:
    """Give `copy` the time and the colours of `frame`; return it."""
    copy.pts, copy.duration = frame.pts, frame.duration
    if frame.time_base is not None:
        copy.time_base = frame.time_base
    copy.color_range, copy.colorspace = frame.color_range, frame.colorspace
    if hasattr(frame, "color_primaries"):  # since PyAV 17
        copy.color_primaries, copy.color_trc = frame.color_primaries, frame.color_trc
    return copy
