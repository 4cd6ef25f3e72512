"""Chunks of PNG files: pack them, inflate them within bounds, and read their texts."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_TEXT_BYTES = 4 << 20
"""We inflate no longer texts. Longer ones are still copied, as they are."""

_STEP = 1 << 16


class Text(NamedTuple):
    """A text chunk.

    Attributes:
        keyword: its name.
        content: the bytes of the text.
        is_compressed: the bytes are deflated.
    """

    keyword: str
    content: bytes
    is_compressed: bool

    def read(self) -> bytes:
        """Return the text, inflated; empty if it is too long or damaged."""
        if not self.is_compressed:
            return self.content
        content, is_complete, _ = inflate(self.content, MOST_TEXT_BYTES)
        return content if is_complete else b""


class Inflated(NamedTuple):
    """What could be inflated.

    Attributes:
        content: the bytes.
        is_complete: the data end soundly, and all bytes are there.
        is_damaged: the data are damaged at some place, at the latest behind the bytes.
    """

    content: bytes
    is_complete: bool
    is_damaged: bool


def pack_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    check = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def inflate(data: bytes, most: int) -> Inflated:
    """Inflate as much as can be, and at most `most` bytes."""
    inflater, found, step, at = zlib.decompressobj(), bytearray(), _STEP, 0
    is_damaged = False
    while at < len(data) and not inflater.eof and len(found) <= most:
        before, length = inflater.copy(), len(found)
        piece = data[at : at + step]
        try:
            while piece and len(found) <= most:
                found += inflater.decompress(piece, most + 1 - len(found))
                piece = inflater.unconsumed_tail
        except zlib.error:
            if step == 1:
                is_damaged = True
                break
            del found[length:]
            inflater, step = before, step // 16  # go up to the very byte that is damaged
            continue
        at += step
    return Inflated(bytes(found[:most]), inflater.eof and len(found) <= most, is_damaged)


def read_text_chunk(name: bytes, content: bytes) -> Text:
    """Read the keyword of a tEXt, zTXt or iTXt chunk, and find its text."""
    keyword, _, rest = content.partition(b"\0")
    is_compressed = name == b"zTXt"
    if name == b"zTXt":
        rest = rest[1:]  # the method, which is always deflate
    elif name == b"iTXt":
        is_compressed = rest[:1] == b"\1"
        *_, rest = rest[2:].split(b"\0", 2)  # the language, and the keyword in that language
    return Text(keyword.decode("latin-1"), rest, is_compressed)


def read_raw_profile(text: Text) -> bytes:
    """Return the bytes that ImageMagick and others write as hexadecimal text; empty if damaged."""
    parts = text.read().split(None, 2)  # its name, its length, and the digits
    try:
        return bytes.fromhex(parts[2].decode("ascii")) if len(parts) == 3 else b""
    except ValueError:
        return b""


def pack_raw_profile(name: str, content: bytes) -> bytes:
    """Return a zTXt chunk with these bytes as hexadecimal text."""
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{name}\n{len(content):8}\n{lines}\n".encode()
    return pack_chunk(b"zTXt", f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(text))
