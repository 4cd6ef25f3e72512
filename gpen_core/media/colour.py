"""Colours stated by anything but an ICC profile, turned into one; HDR, refused in words."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D65, _C, _DCI = (0.3127, 0.329), (0.310, 0.316), (0.314, 0.351)
_PRIMARIES = {  # ITU-T H.273: white, red, green, blue as (x, y), by code
    1: (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    22: (_D65, (0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}  # H.273's transfer characteristics, by code
_BT709, _SRGB = (1, 6, 14, 15), 13
_PQ, _HLG = 16, 18
_TABLE_LENGTH = 1024

Primaries = tuple[tuple[float, float], ...]


class Stated(NamedTuple):
    """Colours as a file states them.

    Attributes:
        icc: the profile that says the same; empty where the colours are sRGB or not stated.
        transfer: H.273's code of the transfer characteristics, or 0.
    """

    icc: bytes = b""
    transfer: int = 0


def read_png_colours(chunks: Mapping[bytes, bytes], *, is_grey: bool) -> Stated:
    """Read the chunks cICP, sRGB, gAMA and cHRM, the first of which that is there decides."""
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4 and (stated := read_codes(coded[0], coded[1], is_grey=is_grey)):
        return stated
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000
    chromaticities = chunks.get(b"cHRM", b"")
    if b"sRGB" in chunks or not (gamma or chromaticities):
        return Stated()
    primaries = _PRIMARIES[1]
    if len(chromaticities) == 32:
        numbers = [number / 100_000 for number in struct.unpack(">8I", chromaticities)]
        primaries = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    # Nearly every program writes 0.45455 for sRGB. libpng takes 5 % more or less for the same.
    is_srgb_curve = not gamma or abs(gamma * 2.2 - 1) < 0.05
    if is_srgb_curve and _are_near(primaries, _PRIMARIES[1]):
        return Stated()
    curve = gamma_curve(1 / gamma) if gamma else _SRGB_CURVE
    return Stated(make_profile(primaries, curve, is_grey=is_grey))


def read_codes(primaries: int, transfer: int, *, is_grey: bool = False) -> Stated | None:
    """Read H.273's codes, as PNG, AVIF and HEIC hold them; None where they say nothing."""
    if transfer in (_PQ, _HLG):
        return Stated(transfer=transfer)
    known = _PRIMARIES.get(primaries)
    if transfer == _SRGB:
        curve = _SRGB_CURVE
    elif transfer in _BT709:
        curve = _BT709_CURVE
    elif transfer in _GAMMAS:
        curve = _pack_gamma(_GAMMAS[transfer])
    else:
        curve = b""
    if known is None or not curve:
        return None
    if primaries == 1 and transfer in (_SRGB, *_BT709):
        return Stated(transfer=transfer)
    return Stated(make_profile(known, curve, is_grey=is_grey), transfer)


def refuse_hdr(path: Path, transfer: int, icc: bytes) -> None:
    """Refuse colours whose white is no paper's white.

    Args:
        path: the file's name, for the message.
        transfer: H.273's code of the transfer characteristics that the file states, or 0.
        icc: the colour profile, which may hold such codes; may be empty.

    Raises:
        ImageError: the picture is HDR, with the curve PQ or HLG.
    """
    names = {_PQ: "PQ", _HLG: "HLG"}
    name = names.get(transfer) or names.get(_read_profile_transfer(icc))
    if name:
        raise ImageError(
            f"{path} is an HDR picture (transfer curve {name}); expected a picture for ordinary "
            "screens. Convert it to sRGB or Display P3 with a program that maps HDR."
        )


def make_profile(primaries: Primaries, curve: bytes, *, is_grey: bool = False) -> bytes:
    """Make an ICC profile (version 2).

    Args:
        primaries: white, red, green and blue, each as chromaticities (x, y).
        curve: an ICC curve from stored levels to light, as `_pack_gamma` makes it.
        is_grey: the picture holds grey only.

    Returns:
        The profile; empty where the primaries are impossible.
    """
    columns = _adapt_primaries(primaries)
    if columns is None:
        return b""
    text = b"Colours stated by the file"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + b"Public domain\0"}
    tags[b"wtpt"] = _pack_xyz(_D50)
    if is_grey:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip(b"rgb", columns.T, strict=True):
            tags[bytes([name]) + b"XYZ"] = _pack_xyz(column)
            tags[bytes([name]) + b"TRC"] = curve
    return _pack_profile(b"GRAY" if is_grey else b"RGB ", tags)


def gamma_curve(gamma: float) -> bytes:
    """Return an ICC curve for a power function; sRGB's curve where the power is impossible."""
    return _pack_gamma(gamma) if 0.1 < gamma < 10 else _SRGB_CURVE


def _adapt_primaries(primaries: Primaries) -> np.ndarray | None:
    """Return red, green and blue as columns of XYZ, adapted to D50 (Bradford); None if absurd."""
    points = np.array(primaries, np.float64)
    if points.shape != (4, 2) or not (points[:, 1] > 1e-4).all() or not (points < 2).all():
        return None
    white, *colours = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in points]
    matrix = np.stack(colours, axis=1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        return None
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix
    return adapted if np.isfinite(adapted).all() and (abs(adapted) < 4).all() else None


def _pack_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body, places = struct.pack(">I", len(tags)), b"", {}
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", places[content], len(content))
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _pack_xyz(_D50)[8:]
    return head.ljust(128, b"\0") + table + body


def _pack_xyz(numbers: tuple[float, ...] | np.ndarray) -> bytes:
    fixed = [round(float(number) * 65536) for number in numbers]
    return b"XYZ " + bytes(4) + struct.pack(">3i", *fixed)


def _pack_gamma(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, min(65535, round(gamma * 256)))


def _pack_table(to_light: Callable[[np.ndarray], np.ndarray]) -> bytes:
    levels = (to_light(np.linspace(0, 1, _TABLE_LENGTH)) * 65535).round().astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", _TABLE_LENGTH) + levels.tobytes()


def _are_near(some: Primaries, others: Primaries) -> bool:
    return bool(np.allclose(np.array(some), np.array(others), atol=0.005))


def _read_profile_transfer(icc: bytes) -> int:
    """Return the transfer code of a profile's tag "cicp"; 0 if it has none."""
    count = int.from_bytes(icc[128:132], "big")
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        if icc[at : at + 4] == b"cicp":
            (start,) = struct.unpack_from(">I", icc, at + 4)
            return icc[start + 9] if len(icc) > start + 9 else 0
    return 0


_SRGB_CURVE = _pack_table(lambda v: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4))
_BT709_CURVE = _pack_table(
    lambda v: np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))
)
