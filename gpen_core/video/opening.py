"""Open a film file, and nothing that such a file may point to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from ..errors import ImageError
from ..files import is_file, name_special
from ..media.kinds import HEAD, find_kind

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer

DEMUXERS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegts",
    "mpegvideo", "asf", "flv", "ogg", "mxf", "nut", "h264", "hevc", "m4v", "dv", "ivf", "gif",
)  # fmt: skip
"""Formats that are opened. Playlists (HLS, DASH, concat) are not: they name other files."""

LENIENT = int(av.__version__.split(".")[0]) >= 19
"""Whether PyAV replaces what is no UTF-8 in texts by itself. Before, it must be told."""


def open_film(path: Path) -> InputContainer:
    """Open a film file for reading.

    Only the file itself is read: no network, and no format that names other files.

    Raises:
        ImageError: it is no film file, or it is damaged at its beginning.
        OSError: it does not exist, or may not be read.
    """
    if (special := name_special(path)) is not None:
        raise ImageError(f"{path} is {special}, not a file.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ImageError(f"{path} is empty (0 bytes).")
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}
    replacing: dict[str, Any] = {} if LENIENT else {"metadata_errors": "replace"}
    try:
        # An absolute path: FFmpeg takes "concat:a|b" for two files.
        return av.open(str(path.absolute()), options=options, **replacing)
    except FFmpegError as error:
        raise ImageError(f"{path} {_explain(path, head, error)}") from error


def _explain(path: Path, head: bytes, error: FFmpegError) -> str:
    kind = _find_picture(path, head)
    if kind:
        return f"is a picture ({kind}), not a film. Name it by its kind, such as .{kind.lower()}."
    if head[4:8] == b"ftyp":
        return (
            "has no index (its `moov` box): the recording or the copy stopped before its end. "
            "Copy it again, or repair it with a tool that rebuilds the index."
        )
    return f"is no film that can be read: {error.strerror}."


def _find_picture(path: Path, head: bytes) -> str | None:
    """Return the kind of a picture, or None if the first bytes are those of no picture."""
    if head[4:8] == b"ftyp":
        return None
    try:
        return find_kind(path.with_suffix(""), head, path.stat().st_size)
    except ImageError:
        return None


def is_film(path: Path) -> bool:
    """Whether a file can be opened as a film and holds moving pictures."""
    if not is_file(path):
        return False
    try:
        with open_film(path) as container:
            return bool(container.streams.video)
    except (ImageError, OSError):
        return False
