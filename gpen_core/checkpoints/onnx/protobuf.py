"""Read protobuf messages by offset, within bounds: no message is held in memory as a whole.

An ONNX file is one protobuf message. Its fields say their length before their contents, so the
contents of a tensor are skipped until somebody wants them.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from ...errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FIELDS = 4_000_000
"""Fields of a file that are looked at. An export of a GPEN has about 60,000."""
MAX_TEXT = 1 << 16
"""Bytes of a text. Names have about 30."""
WINDOW = 1 << 16
"""Bytes that are read at once while fields are listed."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""


class UnreadableGraph(CheckpointError):  # noqa: N818 - the name says it
    """An ONNX file is damaged, or it computes something else than a GPEN.

    The message lacks its subject, which is the file.
    """


def damaged(detail: str) -> UnreadableGraph:
    """Return the error of a damaged file."""
    return UnreadableGraph(
        f"is a damaged ONNX file, or none ({detail}). Download the file again: it was cut off or "
        "altered."
    )


class Span(NamedTuple):
    """The place of a field's contents in the file: the bytes from `start` to before `end`."""

    start: int
    end: int


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: the field's number in the schema.
        wire: the wire type.
        value: the number of a varint or of the bits of a fixed field; the `Span` of other contents.
    """

    number: int
    wire: int
    value: int | Span


class Source:
    """A file whose messages are read by offset."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self._window = b""
        self._start = 0
        self._fields = 0

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`."""
        if not 0 <= start <= end <= self.size:
            raise damaged(f"a field reaches beyond byte {self.size:,}, the end of the file")
        self.file.seek(start)
        data = self.file.read(end - start)
        if len(data) != end - start:
            raise damaged("it became shorter while it was read")
        return data

    def text(self, span: Span) -> str:
        """Return a text; bytes that are no UTF-8 are replaced."""
        if span.end - span.start > MAX_TEXT:
            raise damaged(f"a name has {span.end - span.start:,} bytes")
        return self.read(*span).decode("utf-8", "replace")

    def fields(self, span: Span) -> Iterator[Field]:
        """Iterate over the fields of the message in `span`."""
        place = span.start
        while place < span.end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise damaged(f"it has more than {MAX_FIELDS:,} fields")
            key, place = self._varint(place, span.end)
            number, wire = key >> 3, key & 7
            if not number:
                raise damaged(f"a field has the number 0 at byte {place:,}")
            field, place = self._contents(number, wire, place, span.end)
            yield field

    def _contents(self, number: int, wire: int, place: int, end: int) -> tuple[Field, int]:
        if wire == VARINT:
            value, place = self._varint(place, end)
            return Field(number, wire, value), place
        if wire == BYTES:
            length, place = self._varint(place, end)
            stop = place + length
        elif wire in (FIXED32, FIXED64):
            stop = place + (4 if wire == FIXED32 else 8)
        else:
            raise damaged(f"a field has the type {wire} at byte {place:,}")
        if stop > end:
            raise damaged(f"a field of {stop - place:,} bytes at byte {place:,} does not fit")
        if wire == BYTES:
            return Field(number, wire, Span(place, stop)), stop
        return Field(number, wire, int.from_bytes(self._peek(place, stop), "little")), stop

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if place >= end:
                break
            byte = self._peek(place, place + 1)[0]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, place
        raise damaged(f"a number does not end at byte {place:,}")

    def _peek(self, start: int, end: int) -> bytes:
        """Return a few bytes, from a window that is read at once."""
        if start < self._start or end > self._start + len(self._window):
            self._start = start
            self._window = self.read(start, min(start + WINDOW, self.size))
        data = self._window[start - self._start : end - self._start]
        if len(data) != end - start:
            raise damaged(f"it ends at byte {self.size:,}, within a field")
        return data


def signed(value: int | Span) -> int:
    """Return the number of a varint of the type int32 or int64."""
    if not isinstance(value, int):
        raise damaged("a text stands where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def span_of(field: Field) -> Span:
    """Return the place of a text, a message or a packed list."""
    if not isinstance(field.value, Span):
        raise damaged("a number stands where a text or a message belongs")
    return field.value


def float_of(value: int | Span) -> float:
    """Return the number of a fixed field of the type float."""
    if not isinstance(value, int):
        raise damaged("a text stands where a number belongs")
    return struct.unpack("<f", (value & 0xFFFFFFFF).to_bytes(4, "little"))[0]


def unpack_varints(data: bytes) -> np.ndarray:
    """Return the int64 numbers of a packed list."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise damaged("a list of numbers does not end")
    starts = np.concatenate([np.zeros(min(len(ends), 1), np.int64), ends[:-1] + 1])
    lengths = ends - starts + 1
    if len(lengths) and lengths.max() > 10:
        raise damaged("a list holds a number of more than 10 bytes")
    values = np.zeros(len(ends), np.uint64)
    for j in range(int(lengths.max()) if len(lengths) else 0):
        has = lengths > j
        septets = octets[starts[has] + j].astype(np.uint64) & np.uint64(0x7F)
        values[has] |= septets << np.uint64(7 * j)
    return values.view(np.int64)
