"""Photoshop's image resources, in which JPEG and TIFF files keep IPTC captions and keywords."""

from __future__ import annotations

import struct

JPEG_HEADER = b"Photoshop 3.0\0"
IPTC, COPYRIGHT_FLAG, URL, IPTC_DIGEST = 0x0404, 0x040A, 0x040B, 0x0425
KEPT = (IPTC, COPYRIGHT_FLAG, URL, IPTC_DIGEST)
"""The resources that we keep. Others describe the old file: its thumbnail, layers and quality."""

_SIGNATURE = b"8BIM"
_IPTC_MARK = 0x1C  # begins every record


def read_resources(block: bytes) -> dict[int, bytes]:
    """Return the resources of a block that we keep, by their number."""
    found, at = {}, 0
    while block[at : at + 4] == _SIGNATURE and len(block) >= at + 12:
        (number,) = struct.unpack_from(">H", block, at + 4)
        at += 6 + (block[at + 6] // 2 + 1) * 2  # the name has its length before it, and is padded
        if len(block) < at + 4:
            break
        (length,) = struct.unpack_from(">L", block, at)
        content = block[at + 4 : at + 4 + length]
        if number in KEPT and len(content) == length:
            found[number] = content
        at += 4 + length + length % 2
    return found


def pack_resources(resources: dict[int, bytes]) -> bytes:
    """Return the block that holds these resources; empty for none."""
    block = b""
    for number, content in resources.items():
        block += _SIGNATURE + struct.pack(">HHL", number, 0, len(content))
        block += content + b"\0" * (len(content) % 2)
    return block


def unswap_iptc(value: bytes) -> bytes:
    """Return the records of TIFF's IPTC entry, whose bytes some writers swapped by fours."""
    if value[:1] == bytes([_IPTC_MARK]) or value[3:4] != bytes([_IPTC_MARK]):
        return value
    whole = value[: len(value) // 4 * 4]
    return struct.pack(f">{len(whole) // 4}L", *struct.unpack(f"<{len(whole) // 4}L", whole))
