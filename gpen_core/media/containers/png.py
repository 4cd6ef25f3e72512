"""Take a PNG apart: its metadata, the pixels alone, and what is missing of them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from .. import colour, photoshop
from .. import exif as exif_block
from ..contents import Contents, Decoded, describe_missing_rows
from ..metadata import Metadata
from ..png_chunks import SIGNATURE, inflate, pack_chunk, read_raw_profile, read_text_chunk
from ..xmp import PNG_KEYWORD

if TYPE_CHECKING:
    from pathlib import Path

MOST_PROFILE_BYTES = 4 << 20
"""Sound colour profiles are shorter."""

_GREATEST_COMPRESSION = 1032  # of deflate
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_GREY, _GREY_ALPHA = 0, 4
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COLOURS = (b"cICP", b"cHRM", b"gAMA", b"sRGB", b"mDCV", b"cLLI")
_SAYS_NOTHING_NEW = (
    b"IEND",
    b"bKGD",
    b"hIST",
    b"sBIT",
    b"tIME",
    b"iDOT",
    b"sPLT",
    b"pHYs",
    b"eXIf",
)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_ADAM7 += ((0, 1, 1, 2),)  # first column, first row, step of columns, step of rows of each pass


@dataclass
class _Parts:
    """What a walk over the chunks collects."""

    header: tuple[int, ...] = ()
    before_pixels: list[bytes] = field(default_factory=list)  # whole chunks, for the decoder
    pixels: list[bytes] = field(default_factory=list)  # the contents of IDAT
    single: dict[bytes, bytes] = field(default_factory=dict)  # the first chunk of each other name
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_broken: bool = False
    has_end: bool = False


@dataclass(frozen=True)
class PngContents(Contents):
    """A PNG, taken apart.

    Attributes:
        header: width, height, bits, colour type, compression, filter, interlacing.
        before_pixels: the chunks that the decoder needs before the pixels.
        pixels: the compressed pixels.
        clear: the grey level that is transparent, or None.
    """

    header: tuple[int, ...] = ()
    before_pixels: bytes = b""
    pixels: bytes = b""
    clear: int | None = None

    def decode(self, path: Path) -> Decoded:
        if not self.damage:
            try:
                return self._decode(self.pixels, path)
            except ImageError:
                raise
            except Exception:
                # The checksums are right, and the pixels still cannot be decoded.
                if not self._inflate()[1]:
                    raise
        pixels, damage = self._inflate()
        decoded = self._decode(zlib.compress(pixels, 1), path)
        return decoded._replace(damage=damage or self.damage)

    def _inflate(self) -> tuple[bytes, str]:
        """Inflate the pixels, filled up with zeros, and say what is missing."""
        pixels, _, is_damaged = inflate(self.pixels, self.needed_bytes)
        missing = self.needed_bytes - len(pixels)
        if not missing:
            return pixels, "is damaged: some pixels may be wrong" if is_damaged else ""
        rows = f"{max(1, round(100 * missing / self.needed_bytes))} % of its pixels are missing"
        if not self.header[6]:
            height = self.size[1]
            rows = describe_missing_rows(-(-missing * height // self.needed_bytes), height)
        return pixels + bytes(missing), f"is cut off: {rows} and stay black"

    def _decode(self, pixels: bytes, path: Path) -> Decoded:
        data = SIGNATURE + self.before_pixels + pack_chunk(b"IDAT", pixels)
        data += pack_chunk(b"IEND", b"")
        if self.bits == 16:
            return Decoded(self._decode_sixteen_bits(data))
        return Contents.decode(replace(self, data=data), path)

    def _decode_sixteen_bits(self, data: bytes) -> np.ndarray:
        """Decode with OpenCV: Pillow reads 16-bit colours as 8 bits only."""
        import cv2

        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if samples is None or samples.dtype != np.uint16:
            raise OSError("the 16-bit pixels cannot be decoded")
        if samples.ndim == 3:
            samples = samples[..., (2, 1, 0, *range(3, samples.shape[2]))]
        if self.header[3] == _GREY_ALPHA:
            return samples[..., (0, 3)]
        if self.clear is not None and samples.ndim == 2:
            alpha = np.where(samples == self.clear, 0, 65535).astype(np.uint16)
            return np.stack([samples, alpha], axis=-1)
        return samples.reshape(*samples.shape[:2], -1)


def parse(data: bytes, path: Path) -> Contents:
    """Take a PNG apart.

    Raises:
        ImageError: it has no header or no pixels, is animated, or holds HDR.
    """
    parts = _walk(data)
    if len(parts.header) < 7 or not parts.pixels or not _is_known(parts.header):
        raise ImageError(f"{path} is damaged: the PNG has no sound header or no pixels.")
    frames = int.from_bytes(parts.single.get(b"acTL", b"")[:4], "big")
    if frames > 1 and b"fdAT" in parts.single:
        raise ImageError(
            f"{path} holds {frames} frames; expected one. Split it into single images."
        )
    width, height, bits, colour_type, *_ = parts.header
    pixels = b"".join(parts.pixels)
    metadata, lost = _make_metadata(parts, path)
    clear = parts.single.get(b"tRNS") if colour_type == _GREY else None
    return PngContents(
        "PNG",
        b"",
        (width, height),
        metadata=metadata,
        bits=16 if bits == 16 else 8,
        damage=_describe_damage(parts),
        lost=lost,
        needed_bytes=_count_bytes(parts.header),
        most_bytes=_GREATEST_COMPRESSION * len(pixels) + 64,
        header=parts.header,
        before_pixels=b"".join(parts.before_pixels),
        pixels=pixels,
        clear=int.from_bytes(clear[:2], "big") if clear else None,
    )


def _walk(data: bytes) -> _Parts:
    parts, at = _Parts(), len(SIGNATURE)
    while at + 8 <= len(data) and not parts.has_end:
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        stated = data[at + 8 + length : at + 12 + length]
        at += 12 + length
        is_sound = zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big") == stated
        if is_sound or name in _PIXELS:
            parts.is_broken |= not is_sound
            _take(parts, name, content)
    return parts


def _take(parts: _Parts, name: bytes, content: bytes) -> None:
    if name == b"IHDR" and len(content) == 13 and not parts.header:
        parts.header = struct.unpack(">IIBBBBB", content)
    if name == b"IDAT":
        parts.pixels.append(content)
    elif name in _TEXTS:
        parts.texts.append((name, content))
    elif name == b"IEND":
        parts.has_end = True
    elif name not in parts.single:
        parts.single[name] = content
        if name in _PIXELS:
            parts.before_pixels.append(pack_chunk(name, content))


def _describe_damage(parts: _Parts) -> str:
    if not parts.has_end:
        return "lacks its end marker, but no row is missing"
    return "has wrong checksums, but all its pixels are right" if parts.is_broken else ""


def _is_known(header: tuple[int, ...]) -> bool:
    width, height, bits, colour_type, compression, filter_, interlacing = header
    return (
        0 < width < 2**31
        and 0 < height < 2**31
        and bits in (1, 2, 4, 8, 16)
        and colour_type in _CHANNELS
        and (compression, filter_) == (0, 0)
        and interlacing in (0, 1)
    )


def _count_bytes(header: tuple[int, ...]) -> int:
    """Return the length of the inflated pixels: each row has a byte for its filter."""
    width, height, bits, colour_type, *_, interlacing = header
    bits *= _CHANNELS[colour_type]
    passes = _ADAM7 if interlacing else ((0, 0, 1, 1),)
    total = 0
    for first_column, first_row, columns, rows in passes:
        across = -(-max(0, width - first_column) // columns)
        down = -(-max(0, height - first_row) // rows)
        total += down * (1 + -(-across * bits // 8)) if across else 0
    return total


def _make_metadata(parts: _Parts, path: Path) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata, and what is lost of it."""
    single, texts, profiles, xmp = parts.single, [], {}, b""
    for name, content in parts.texts:
        text = read_text_chunk(name, content)
        if text.keyword == PNG_KEYWORD and name == b"iTXt":
            xmp = text.read()
        elif text.keyword.startswith("Raw profile type ") and (raw := read_raw_profile(text)):
            profiles[text.keyword.rpartition(" ")[2].lower()] = raw
        else:
            texts.append((name, content))
    profile = inflate(single.get(b"iCCP", b"").partition(b"\0")[2][1:], MOST_PROFILE_BYTES)
    icc = profile.content if profile.is_complete else b""
    chunks = tuple((name, single[name]) for name in _COLOURS if name in single)
    stated = colour.read_png_colours(dict(chunks), is_grey=parts.header[3] in (_GREY, _GREY_ALPHA))
    colour.refuse_hdr(path, stated.transfer, icc)
    block = single.get(b"eXIf", b"") or profiles.get("exif", b"") or profiles.get("app1", b"")
    exif = exif_block.clean_exif(block)
    resources = photoshop.read_resources(profiles.get("iptc", b""))
    known = (*_PIXELS, *_COLOURS, *_SAYS_NOTHING_NEW, b"iCCP", b"acTL", b"fcTL", b"fdAT")
    lost = [
        "content credentials" if name == b"caBX" else f"the PNG chunk {name.decode('latin-1')}"
        for name in single
        if name not in known
    ]
    lost += exif_block.name_loss(block, exif)
    if b"iCCP" in single and not icc:
        lost.append("a damaged colour profile")
    metadata = Metadata(
        exif=exif,
        icc=icc or stated.icc,
        is_icc_made=bool(stated.icc) and not icc,
        dpi=_read_dpi(single.get(b"pHYs", b"")) or exif_block.find_exif_dpi(exif),
        xmp=xmp or profiles.get("xmp", b""),
        photoshop=photoshop.pack_resources(resources),
        png_texts=tuple(texts),
        png_colours=chunks,
        stored_size=(parts.header[0], parts.header[1]),
    )
    return metadata.with_orientation(), tuple(lost)


def _read_dpi(content: bytes) -> tuple[float, float] | None:
    if len(content) != 9:
        return None
    *per_metre, unit = struct.unpack(">IIB", content)
    return exif_block.check_dpi([dots * 0.0254 for dots in per_metre]) if unit == 1 else None
