"""Take a TIFF apart: the one directory of the picture, and its metadata.

Decoders get a plain TIFF: the old bytes, and behind them a new directory that holds nothing but the
layout of the picture's samples. So other pages, thumbnails, orientation and damaged metadata cannot
mislead them, and a BigTIFF is read like a TIFF.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ...errors import ImageError
from .. import colour, photoshop, tiff_tags
from .. import exif as exif_block
from ..metadata import Metadata
from ..tiff_tags import RATIONAL, Entry, find_byte_order, read_directory, read_numbers
from .tiff_pixels import LAYOUT, TiffContents, arrange

if TYPE_CHECKING:
    from pathlib import Path

_SUBFILE_KIND, _OLD_SUBFILE_KIND, _SUB_DIRECTORIES = 254, 255, 330
_WIDTH, _COMPRESSION, _PHOTOMETRIC = 256, 259, 262
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_DNG_VERSION = 50706
_RAW_PHOTOMETRICS = {32803, 34892}  # colour filter array, linear raw
_RAW_COMPRESSIONS = {32767, 32769, 32770, 34713, 65535}  # of Sony, Epson, Samsung, Nikon, Pentax
_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_WHITE_POINT, _PRIMARIES = 318, 319
_TEXT = 2
_MOST_ENTRIES = 100_000  # of all directories together
_TELLING = frozenset(
    {
        _SUBFILE_KIND, _OLD_SUBFILE_KIND, _COMPRESSION, _PHOTOMETRIC, _SUB_DIRECTORIES,
        _DNG_VERSION, _WIDTH,
    }
)  # fmt: skip
_LAYERS, _DEFAULT_GAMMA = 37724, 2.2  # TIFF's gamma where the file states none
_SAYS_NOTHING_NEW = frozenset(
    {
        *LAYOUT, *tiff_tags.DESCRIPTIVE, _XMP, _IPTC, _PHOTOSHOP, _ICC, _WHITE_POINT, _PRIMARIES,
        _SUBFILE_KIND, _OLD_SUBFILE_KIND, tiff_tags.ORIENTATION,
        *(263, 264, 265, 280, 281, 286, 287, 288, 289, 290, 291, 301, 321, 326, 327, 328),
        *(333, 334, 336, 337, 340, 341, 342, 37510, 40961, 41728),
    }
)  # fmt: skip

Directory = dict[int, Entry]


def parse(data: bytes, path: Path) -> TiffContents:
    """Take a TIFF or BigTIFF apart.

    Raises:
        ImageError: it is a camera raw, holds several pages, or is cut off before its pixels.
    """
    order = find_byte_order(data)
    chain, below = _read_directories(data)
    if not chain:
        raise ImageError(f"{path} is damaged: the TIFF has no directory of entries.")
    _refuse_raw(path, [*chain.values(), *below], order)
    pages = {at: d for at, d in chain.items() if not _is_reduced(d, order)}
    if len(pages) > 1:
        raise ImageError(
            f"{path} holds {len(pages)} frames or pages; expected one. Split it into single images."
        )
    if not pages and (len(chain) > 1 or below):
        raise ImageError(
            f"{path} holds only reduced copies where its picture should be. Its main picture may "
            "lie elsewhere in the file: open it with the program that wrote it and save a TIFF."
        )
    start = next(iter(pages or chain))
    directory = read_directory(data, start)
    metadata, lost = _read_metadata(directory, tiff_tags.extract_exif(data, start), order)
    if len(chain) > 1 or below:
        lost.append("the thumbnails or reduced copies of a TIFF")
    return arrange(data, directory, path, metadata=metadata, lost=tuple(lost))


def _refuse_raw(path: Path, directories: list[Directory], order: str) -> None:
    """Refuse a camera raw, whose first picture is often a thumbnail.

    Raises:
        ImageError: an entry tells that it is one.
    """
    for directory in directories:
        photometric = read_numbers(directory.get(_PHOTOMETRIC), order)
        compression = read_numbers(directory.get(_COMPRESSION), order)
        if (
            _DNG_VERSION in directory
            or _RAW_PHOTOMETRICS & set(photometric)
            or _RAW_COMPRESSIONS & set(compression)
        ):
            raise ImageError(describe_raw(path))


def describe_raw(path: Path) -> str:
    """Return the message that refuses a camera raw."""
    return (
        f"{path} is a camera raw file; expected a finished picture. Develop it with your camera's "
        "program, darktable or RawTherapee, and restore the TIFF or JPEG that it writes."
    )


def _read_directories(data: bytes) -> tuple[dict[int, Directory], list[Directory]]:
    """Read the entries that tell pages, copies and raws apart.

    Returns:
        The directories from the first on, each once, by their offsets; and those below them.
    """
    chain: dict[int, Directory] = {}
    below: list[Directory] = []
    order, left = find_byte_order(data), _MOST_ENTRIES
    try:
        start = tiff_tags.find_main_directory(data)
    except struct.error:
        return chain, below
    while start and start not in chain and left > 0:
        directory = read_directory(data, start, _TELLING)
        left -= tiff_tags.count_entries(data, start) + 1
        if not directory:
            break
        chain[start] = directory
        for inner in read_numbers(directory.get(_SUB_DIRECTORIES), order):
            left -= tiff_tags.count_entries(data, inner) + 1
            if left > 0:
                below.append(read_directory(data, inner, _TELLING))
        start = tiff_tags.find_next_directory(data, start)
    return chain, below


def _is_reduced(directory: Directory, order: str) -> bool:
    (kind,) = read_numbers(directory.get(_SUBFILE_KIND), order)[:1] or (0,)
    (old_kind,) = read_numbers(directory.get(_OLD_SUBFILE_KIND), order)[:1] or (0,)
    return bool(kind & (_REDUCED | _MASK)) or old_kind == _OLD_REDUCED


def _read_metadata(directory: Directory, exif: bytes, order: str) -> tuple[Metadata, list[str]]:
    """Return the metadata of a TIFF's directory, and what is lost of it."""
    resources = photoshop.read_resources(_read_bytes(directory, _PHOTOSHOP))
    if iptc := _read_bytes(directory, _IPTC):
        resources[photoshop.IPTC] = photoshop.unswap_iptc(iptc)
    orientation = read_numbers(directory.get(tiff_tags.ORIENTATION), order)[:1] or (0,)
    others = sorted(set(directory) - _SAYS_NOTHING_NEW)
    lost = ["Photoshop's layers"] if _LAYERS in others else []
    if others := [str(tag) for tag in others if tag not in (_LAYERS, _SUB_DIRECTORIES)]:
        lost.append(f"the TIFF entries {', '.join(others[:8])}")
    metadata = Metadata(
        exif=exif,
        icc=_read_bytes(directory, _ICC) or _read_colours(directory, order),
        dpi=exif_block.find_dpi(directory, order),
        xmp=_read_bytes(directory, _XMP),
        photoshop=photoshop.pack_resources(resources),
    )
    return metadata.with_orientation(*orientation), lost


def _read_bytes(directory: Directory, tag: int) -> bytes:
    """Return the bytes of an entry; empty where it is absent or holds text."""
    entry = directory.get(tag)
    return entry.value if entry and entry.kind != _TEXT else b""


def _read_colours(directory: Directory, order: str) -> bytes:
    """Return a profile for the white point and primaries that the entries state; empty if none."""
    numbers = [
        over / under if under else 0.0
        for tag, count in ((_WHITE_POINT, 2), (_PRIMARIES, 6))
        if (entry := directory.get(tag)) and entry.kind == RATIONAL and entry.length == count
        for over, under in struct.iter_unpack(f"{order}LL", entry.value)
    ]
    if len(numbers) != 8:
        return b""
    points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return colour.make_profile(points, colour.gamma_curve(_DEFAULT_GAMMA))
