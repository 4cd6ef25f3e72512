"""Take a JPEG apart: its metadata, the picture alone, and what is missing of it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from .. import exif as exif_block
from .. import photoshop
from ..contents import Contents, Decoded, describe_missing_rows
from ..metadata import Metadata
from .jpeg_scans import SHORTEST_HOLE, describe_damage

if TYPE_CHECKING:
    from pathlib import Path

XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
ICC_HEADER = b"ICC_PROFILE\0"
_EXTENDED_XMP_HEADER = b"http://ns.adobe.com/xmp/extension/\0"
_GAIN_MAP_HEADER = b"urn:iso:std:iso:ts:21496:-1\0"
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE, _ARITHMETIC = {0xC0, 0xC1}, {0xC2}, {0xC9, 0xCA}
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
_AFTER_A_SCAN = {*_TABLES, *_APPLICATIONS, _COMMENT, _START_OF_SCAN, _END_OF_IMAGE, _START_OF_IMAGE}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffed zero, restart or filling
_VIDEO = re.compile(rb"ftyp(?:mp4|iso|qt|3gp|MSNV|avc1|M4V)")
_SAYS_NOTHING_NEW = (b"JFIF\0", b"JFXX\0", b"AVI1", b"Ducky", b"MPF\0", _GAIN_MAP_HEADER)

MOST_SCANS = 500
"""A sound progressive JPEG has about ten. Each one passes over the whole picture."""

_PIXELS_PER_BYTE = 512  # a block of 8 × 8 pixels takes at least one bit
_MISSING = 128  # the grey with which the decoder fills what is missing


@dataclass
class _Parts:
    """What a walk over the segments collects."""

    size: tuple[int, int] = (0, 0)
    frame: int = 0
    precision: int = 8
    channels: int = 0
    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    exif: bytes = b""
    xmp: bytes = b""
    icc: list[bytes] = field(default_factory=list)
    photoshop: bytes = b""
    comments: list[bytes] = field(default_factory=list)
    dpi: tuple[float, float] | None = None
    scans: int = 0
    end: int = 0  # offset after the picture; 0 if it has no end
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class JpegContents(Contents):
    """A JPEG, taken apart.

    Attributes:
        frame: the marker of its frame, which names the way of coding.
        is_cut_off: it has no end.
    """

    frame: int = 0xC0
    is_cut_off: bool = False

    def decode(self, path: Path) -> Decoded:
        decoded = _decode_arithmetic(self.data) if self.frame in _ARITHMETIC else None
        decoded = decoded or super().decode(path)
        if not self.is_cut_off:
            return decoded._replace(damage=self.damage)
        damage = "lacks its end marker, but no row is missing"
        if missing := _count_missing_rows(decoded.samples):
            rows = describe_missing_rows(missing, self.size[1])
            damage = f"is cut off: {rows} and stay grey"
        elif self.frame not in _SEQUENTIAL:
            damage = "is cut off: its fine detail may be missing"
        return decoded._replace(damage=damage)


def parse(data: bytes, path: Path) -> Contents:
    """Take a JPEG apart.

    Raises:
        ImageError: it is cut off before its pixels, or of a kind that we cannot decode.
    """
    parts = _walk(data)
    _refuse(parts, path)
    if parts.end:
        parts.lost += _describe_trailing_data(data, parts)
    else:
        _close(parts)
    parts.kept.append(b"\xff\xd9")
    metadata, lost = _make_metadata(parts)
    return JpegContents(
        "JPEG",
        b"".join(parts.kept),
        parts.size,
        metadata=metadata,
        damage=describe_damage(parts.kept) if parts.end else "is cut off",
        lost=tuple(dict.fromkeys([*parts.lost, *lost])),
        needed_bytes=parts.size[0] * parts.size[1],
        most_bytes=None if parts.frame in _ARITHMETIC else _PIXELS_PER_BYTE * len(data),
        frame=parts.frame,
        is_cut_off=not parts.end,
    )


def _walk(data: bytes) -> _Parts:
    parts, at = _Parts(), 2
    while found := _NEXT_MARKER.search(data, at):
        at, marker = found.start(), data[found.start() + 1]
        if marker in (_END_OF_IMAGE, _START_OF_IMAGE):
            parts.end = at + 2 if marker == _END_OF_IMAGE else 0
            break
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            break
        at += len(segment)
        _take(parts, marker, segment)
        if marker == _START_OF_SCAN:
            scan_end = _find_scan_end(data, at)
            parts.kept.append(data[at:scan_end])
            at, parts.scans = scan_end, parts.scans + 1
    return parts


def _find_scan_end(data: bytes, at: int) -> int:
    while found := _NEXT_MARKER.search(data, at):
        if data[found.start() + 1] in _AFTER_A_SCAN:
            return found.start()
        at = found.end()  # damage, no marker: the decoder makes of it what it can
    return len(data)


def _take(parts: _Parts, marker: int, segment: bytes) -> None:
    content = segment[4:]
    if marker in _FRAMES and len(content) >= 6 and not parts.frame:
        parts.frame, parts.precision, parts.channels = marker, content[0], content[5]
        height, width = struct.unpack(">HH", content[1:5])
        parts.size = width, height
    if marker in _FRAMES or marker in _TABLES or marker == _START_OF_SCAN:
        parts.kept.append(segment)
    elif marker == _COMMENT:
        parts.comments.append(content)
    elif marker in _APPLICATIONS:
        _take_application(parts, marker - _APPLICATIONS[0], segment)


def _take_application(parts: _Parts, number: int, segment: bytes) -> None:
    content = segment[4:]
    if number == 0 and content.startswith(b"JFIF\0") and len(content) >= 12:
        parts.kept.append(segment)
        unit, *dots = struct.unpack(">BHH", content[7:12])
        per_inch = {1: 1.0, 2: 2.54}.get(unit, 0.0)
        parts.dpi = exif_block.check_dpi([per_inch * d for d in dots])
    elif number == 14 and content.startswith(b"Adobe"):
        parts.kept.append(segment)
    elif number == 1 and content.startswith(exif_block.PREFIX):
        parts.exif += content[len(exif_block.PREFIX) :]  # a long block has several segments
    elif number == 1 and content.startswith(XMP_HEADER):
        parts.xmp = content[len(XMP_HEADER) :]
    elif number == 2 and content.startswith(ICC_HEADER):
        parts.icc.append(content[len(ICC_HEADER) :])
    elif number == 13 and content.startswith(photoshop.JPEG_HEADER):
        parts.photoshop += content[len(photoshop.JPEG_HEADER) :]
    else:
        parts.lost += _describe_segment(number, content)


def _describe_segment(number: int, content: bytes) -> list[str]:
    if content.startswith(_EXTENDED_XMP_HEADER):
        return ["extended XMP (such as a depth map)"]
    if content.startswith(_SAYS_NOTHING_NEW):
        return []
    return ["content credentials" if b"c2pa" in content else f"the JPEG segment APP{number}"]


def _describe_trailing_data(data: bytes, parts: _Parts) -> list[str]:
    """Name what stands after the picture: phones put a film or a gain map there."""
    rest = data[parts.end :].strip(b"\0\r\n ")
    if not rest:
        return []
    lost = ["the film of a motion photo"] if _VIDEO.search(rest) else []
    if b"\xff\xd8\xff" in rest:
        is_gain_map = b"hdr-gain-map" in parts.xmp or _GAIN_MAP_HEADER in data[: parts.end]
        lost.append("an HDR gain map" if is_gain_map else "further pictures behind the first one")
    return lost or ["data behind the picture"]


def _refuse(parts: _Parts, path: Path) -> None:
    ways = {*_SEQUENTIAL, *_PROGRESSIVE, *_ARITHMETIC}
    if parts.scans == 0 or 0 in parts.size:
        raise ImageError(f"{path} is damaged: the JPEG ends before its pixels begin.")
    if parts.frame not in ways or parts.precision != 8:
        raise ImageError(
            f"{path} is a JPEG of {parts.precision} bits per sample, coded in a way that we cannot "
            f"read (frame {parts.frame:02X}, such as lossless JPEG). Convert it to PNG."
        )
    if parts.frame in _ARITHMETIC and parts.channels == 4:
        raise ImageError(
            f"{path} is a CMYK JPEG with arithmetic coding, which we cannot read. Save it as TIFF."
        )
    if parts.scans > MOST_SCANS:
        raise ImageError(
            f"{path} is no sound JPEG: it has {parts.scans} scans; expected at most {MOST_SCANS}."
        )


def _close(parts: _Parts) -> None:
    """Take a hole of zero bytes off the end of a picture without an end."""
    scan = parts.kept[-1].rstrip(b"\0")
    if len(parts.kept[-1]) - len(scan) >= SHORTEST_HOLE:
        parts.kept[-1] = scan
    if parts.kept[-1].endswith(b"\xff"):
        parts.kept[-1] = parts.kept[-1][:-1]


def _make_metadata(parts: _Parts) -> tuple[Metadata, list[str]]:
    """Return the metadata, and what is lost of it."""
    exif = exif_block.clean_exif(parts.exif)
    lost = exif_block.name_loss(parts.exif, exif)
    pieces = sorted(piece for piece in parts.icc if len(piece) > 2)
    is_whole = bool(pieces) and pieces[0][1] == len(pieces)
    if parts.icc and not is_whole:
        lost.append("an incomplete colour profile")
    resources = photoshop.read_resources(parts.photoshop)
    metadata = Metadata(
        exif=exif,
        icc=b"".join(piece[2:] for piece in pieces) if is_whole else b"",
        dpi=parts.dpi or exif_block.find_exif_dpi(exif),
        xmp=parts.xmp,
        photoshop=photoshop.pack_resources(resources),
        comments=tuple(parts.comments),
        stored_size=parts.size,
    )
    return metadata.with_orientation(), lost


def _count_missing_rows(samples: np.ndarray) -> int:
    """Count the rows at the end that the decoder has filled: they end in its grey."""
    ends_filled = (samples[:, -1] == _MISSING).all(axis=-1)
    return len(ends_filled) if ends_filled.all() else int(np.argmin(ends_filled[::-1]))


def _decode_arithmetic(data: bytes) -> Decoded | None:
    """Decode arithmetic coding, which OpenCV's library can and Pillow's cannot."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        return None
    return Decoded(samples[..., ::-1] if samples.ndim == 3 else samples[..., None])
