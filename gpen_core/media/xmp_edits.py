"""Edit what an XMP packet says about places in the picture, and about parts that are gone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from .exif import move_subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.dom.minidom import Attr, Document, Element, Node, Text

    from .turning import Turn

    _Value = Attr | Text
    """The node that holds the value of an attribute, or of an element with nothing but text."""

MOST_BYTES = 1 << 20
"""A longer packet is left as it is: a parsed one takes a hundred times the memory."""

_GOOGLE = "http://ns.google.com/photos/1.0/"
_GONE = (  # namespaces that speak of films, gain maps, depth maps and data in other segments
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    f"{_GOOGLE}container/",
    f"{_GOOGLE}depthmap/",
    f"{_GOOGLE}image/",
    f"{_GOOGLE}audio/",
    "http://ns.google.com/photos/dd/1.0/",
)
_GONE_NAMES = re.compile(r"(MotionPhoto|MicroVideo|HasExtendedXMP|Thumbnails$|VideoLength$)")
_TELLING = re.compile(
    rb"hdr-gain-map|HDRGainMap|google\.com/photos|HasExtendedXMP|MotionPhoto|MicroVideo|Thumbnails"
    rb"|/regions/|RegionBoundary|photo/1\.2/|SubjectArea|SubjectLocation"
)
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)")
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_MICROSOFT_REGION = "http://ns.microsoft.com/photo/1.2/t/Region#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_PANORAMA = f"{_GOOGLE}panorama/"
_PANORAMA_PAIRS = (
    ("FullPanoWidthPixels", "FullPanoHeightPixels"),
    ("CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels"),
    ("CroppedAreaLeftPixels", "CroppedAreaTopPixels"),
    ("LargestValidInteriorRectWidth", "LargestValidInteriorRectHeight"),
    ("LargestValidInteriorRectLeft", "LargestValidInteriorRectTop"),
)


def edit_structures(packet: bytes, turn: Turn) -> bytes:
    """Return the packet with its places moved, and without entries for parts that are gone.

    A packet that has none of these, or is no sound XML, stays as it is.
    """
    if len(packet) > MOST_BYTES or not _TELLING.search(packet) or _DECLARATION.search(packet):
        return packet
    try:
        document = minidom.parseString(packet.rstrip(b"\0"))
        _remove_gone(document)
        _move_places(document, turn)
        return "".join(node.toxml() for node in document.childNodes).encode()
    except (ExpatError, RecursionError, UnicodeError):
        return packet


def _remove_gone(document: Document) -> None:
    for element in list(_iterate_elements(document)):
        for attribute in list(element.attributes.values()):
            if _is_gone(attribute):
                element.removeAttributeNode(attribute)
        if _is_gone(element) and element.parentNode is not None:
            element.parentNode.removeChild(element)


def _is_gone(node: Attr | Element) -> bool:
    space = node.namespaceURI or ""  # of a declaration: that of declarations
    return space.startswith(_GONE) or bool(space and _GONE_NAMES.match(node.localName or ""))


def _move_places(document: Document, turn: Turn) -> None:
    for element in list(_iterate_elements(document)):
        _move_place(element, turn)
    for space, name, node in _iterate_properties(document):
        if (space, name) == (_MICROSOFT_REGION, "Rectangle"):
            _move_rectangle(node, turn)
    panorama = _find_properties(document, _PANORAMA)
    for names in _PANORAMA_PAIRS:
        if sides := _read(panorama, names):
            _write(panorama, names, [round(side) for side in turn.resize_extent(*sides)])


def _move_place(element: Element, turn: Turn) -> None:
    name = element.namespaceURI, element.localName
    if name == (_REGIONS, "Area"):
        _move_area(_find_properties(element, _AREA), turn)
    elif name == (_REGIONS, "AppliedToDimensions"):
        _write(_find_properties(element, _DIMENSIONS), ("w", "h"), turn.after)
    elif name == (_IPTC, "RegionBoundary"):
        _move_boundary(element, turn)
    elif name in ((_EXIF, "SubjectArea"), (_EXIF, "SubjectLocation")):
        _move_subject(element, turn)


def _move_area(area: dict[str, _Value], turn: Turn) -> None:
    """Move a region of the Metadata Working Group: its centre and its sides."""
    is_relative = "unit" not in area or area["unit"].nodeValue.strip() != "pixel"
    if centre := _read(area, ("x", "y")):
        moved = turn.move_share(*centre) if is_relative else turn.move_point(*centre)
        _write(area, ("x", "y"), moved)
    if sides := _read(area, ("w", "h")):
        moved = turn.move_extent(*sides) if is_relative else turn.resize_extent(*sides)
        _write(area, ("w", "h"), moved)


def _move_boundary(boundary: Element, turn: Turn) -> None:
    """Move a region of IPTC Extension: a rectangle, a circle or the corners of a polygon."""
    structures: dict[Any, dict[str, _Value]] = {}  # by the element that holds the values
    for space, name, node in _iterate_properties(boundary):
        if space == _IPTC:
            owner = node.ownerElement if node.nodeType == node.ATTRIBUTE_NODE else _find_owner(node)
            structures.setdefault(owner, {})[name] = node
    units = [
        values["rbUnit"].nodeValue.strip() for values in structures.values() if "rbUnit" in values
    ]
    is_relative = "pixel" not in units
    for values in structures.values():
        _move_shape(values, turn, is_relative=is_relative)


def _find_owner(text: Text) -> Node | None:
    return text.parentNode and text.parentNode.parentNode


def _move_shape(values: dict[str, _Value], turn: Turn, *, is_relative: bool) -> None:
    """Move one structure: a left upper corner with sides, a centre with a radius, or a point."""
    point = _read(values, ("rbX", "rbY"))
    if not point:
        return
    move = turn.move_share if is_relative else turn.move_point
    moved = move(*point)
    if sides := _read(values, ("rbW", "rbH")):
        opposite = move(point[0] + sides[0], point[1] + sides[1])
        corners = list(zip(moved, opposite, strict=True))
        moved = tuple(min(pair) for pair in corners)
        _write(values, ("rbW", "rbH"), [max(pair) - min(pair) for pair in corners])
    _write(values, ("rbX", "rbY"), moved)
    if turn.before and (radius := _parse([values["rbRx"].nodeValue]) if "rbRx" in values else []):
        # A radius is a share of the width.
        width = turn.move_extent(*turn.before)[0]
        factor = turn.before[0] / width if is_relative else turn.scale[0]
        _write(values, ("rbRx",), [radius[0] * factor])


def _move_rectangle(node: _Value, turn: Turn) -> None:
    """Move a region of Microsoft's: its left upper corner and its sides, as shares."""
    numbers = _parse(node.nodeValue.split(","))
    if len(numbers) != 4:
        return
    x, y, width, height = numbers
    corners = turn.move_share(x, y), turn.move_share(x + width, y + height)
    left, top = (min(pair) for pair in zip(*corners, strict=True))
    moved = (left, top, *turn.move_extent(width, height))
    node.nodeValue = ", ".join(f"{number:.6g}" for number in moved)


def _move_subject(element: Element, turn: Turn) -> None:
    items = [node for _, name, node in _iterate_properties(element) if name == "li"]
    numbers = _parse([node.nodeValue for node in items])
    for node, number in zip(items, move_subject(tuple(map(round, numbers)), turn), strict=False):
        node.nodeValue = str(number)


def _iterate_elements(top: Document | Element) -> Iterator[Element]:
    """Yield all elements, each before those inside it. A tree may be deep: no recursion."""
    pending: list[Any] = [top]
    while pending:
        node = pending.pop()
        if isinstance(node, minidom.Element):
            yield node
        pending.extend(reversed(node.childNodes))


def _iterate_properties(top: Document | Element) -> Iterator[tuple[str | None, str, _Value]]:
    """Yield (namespace, name, node whose value it is) of attributes and of elements with text."""
    for element in list(_iterate_elements(top)):
        for attribute in element.attributes.values():
            yield attribute.namespaceURI, attribute.localName, attribute
        if len(element.childNodes) == 1 and isinstance(element.firstChild, minidom.Text):
            yield element.namespaceURI, element.localName, element.firstChild


def _find_properties(top: Document | Element, space: str) -> dict[str, _Value]:
    return {name: node for found, name, node in _iterate_properties(top) if found == space}


def _read(properties: dict[str, _Value], names: tuple[str, str]) -> list[float]:
    """Return two numbers; none if one is absent or no number."""
    numbers = _parse([properties[name].nodeValue for name in names if name in properties])
    return numbers if len(numbers) == 2 else []


def _write(properties: dict[str, _Value], names: Sequence[str], numbers: Sequence[float]) -> None:
    for name, number in zip(names, numbers, strict=True):
        if name in properties:
            properties[name].nodeValue = f"{number:.10g}"


def _parse(texts: Sequence[str]) -> list[float]:
    """Return the numbers that the texts state; none if one is no number."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return []
    return numbers if all(abs(number) < 1e9 for number in numbers) else []
