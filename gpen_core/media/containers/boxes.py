"""Take AVIF, HEIC and JPEG 2000 apart: files that are made of boxes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from ...errors import ImageError
from .. import colour, pillow_decoding
from .. import exif as exif_block
from ..contents import Contents
from ..metadata import Metadata
from ..xmp import read_xmp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PARENTS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}  # and bytes before their first child
_MOST_BOXES = 10_000
_GAIN_MAP_BRAND = b"tmap"
_RGB_MATRIX = 0  # stored as RGB, as lossless files are


class _Found(NamedTuple):
    """What the boxes say.

    Attributes:
        icc: the colour profile.
        codes: H.273's (primaries, transfer, matrix), or none.
        bits: bits per sample.
    """

    icc: bytes = b""
    codes: tuple[int, ...] = ()
    bits: int = 8


def parse(kind: str, data: bytes, path: Path) -> Contents:
    """Take an AVIF, HEIF or JPEG 2000 apart.

    Args:
        kind: Pillow's name for the format.
        data: the file.
        path: its name, for messages.

    Raises:
        ImageError: it is cut off, or holds HDR.
        Exception: Pillow raises almost any kind on damaged data.
    """
    found = _search(data, path)
    stated = colour.read_codes(*found.codes[:2]) if found.codes else None
    colour.refuse_hdr(path, stated.transfer if stated else 0, found.icc)
    with pillow_decoding.open_image(kind, data) as image:
        pillow_decoding.refuse_frames(image, path)
        size, info = image.size, image.info
    exif = exif_block.clean_exif(info.get("exif") or b"")
    icc = found.icc or (stated.icc if stated else b"")
    lost = [f"{found.bits} bits per sample (8 are read)"] if found.bits > 8 else []
    if _GAIN_MAP_BRAND in data[:64]:
        lost.append("an HDR gain map")
    metadata = Metadata(
        exif=exif,
        icc=icc,
        dpi=exif_block.check_dpi(info.get("dpi")) or exif_block.find_exif_dpi(exif),
        xmp=read_xmp(info),
        stored_size=size,
    )
    return Contents(
        kind,
        data,
        size,
        metadata=metadata.with_orientation(),
        lost=tuple(lost),
        is_lossless=kind == "AVIF" and found.codes[2:] == (_RGB_MATRIX,),
        needed_bytes=3 * size[0] * size[1],
    )


def _search(data: bytes, path: Path) -> _Found:
    found = _Found()
    for name, start, end in _iterate_boxes(data, 0, len(data)):
        if end > len(data):
            raise ImageError(
                f"{path} is cut off: its part {name.decode('latin-1')!r} should have "
                f"{end - start} bytes, {len(data) - start} are there. Copy the file again."
            )
        content = data[start : min(end, start + 64)]
        if name == b"colr":
            found = _read_colour(found, content, data[start:end])
        elif name == b"pixi" and len(content) > 5 and found.bits == 8:
            found = found._replace(bits=content[5])
        elif name == b"ihdr" and len(content) > 10:
            found = found._replace(bits=(content[10] & 0x7F) + 1)
    return found


def _read_colour(found: _Found, content: bytes, whole: bytes) -> _Found:
    """Read a box `colr`. The first one of each kind belongs to the main picture."""
    if content[:4] == b"nclx" and len(content) >= 10 and not found.codes:
        return found._replace(codes=struct.unpack(">HHH", content[4:10]))
    if content[:4] in (b"prof", b"rICC") and not found.icc:
        return found._replace(icc=whole[4:])
    if content[:1] == b"\2" and not found.icc:  # JPEG 2000's method for a profile
        return found._replace(icc=whole[3:])
    return found


def _iterate_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start and end of the content) of the boxes between two offsets, in depth."""
    pending = [(start, end)]
    for _ in range(_MOST_BOXES):
        if not pending:
            return
        at, end = pending.pop()
        if at + 8 > end:
            continue
        length, name = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        stop = at + length if length else end
        if stop < begin:
            return  # damaged
        pending.append((stop, end))
        yield name, begin, stop
        if name in _PARENTS:
            pending.append((begin + _PARENTS[name], min(stop, end)))
