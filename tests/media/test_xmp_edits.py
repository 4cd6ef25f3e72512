"""XMP speaks of the picture that is written, and of nothing that is gone."""

from __future__ import annotations

import re

import pytest

from gpen_core.media import xmp_edits
from gpen_core.media.turning import Turn
from gpen_core.media.xmp import find_xmp_orientation, update_xmp

HEAD = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
 xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
 xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:MP="http://ns.microsoft.com/photo/1.2/"
 xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
 xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" xmp:Rating="5" """
TAIL = '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'


def packet(attributes="", elements=""):
    return f"{HEAD}{attributes}>{elements}{TAIL}".encode()


def edit(data, orientation=1, before=(80, 40), after=None):
    after = after or (before if orientation < 5 else before[::-1])
    return update_xmp(data, Turn(orientation, before, after)).decode()


def test_films_gain_maps_and_thumbnails_are_no_longer_promised():
    before = packet(
        'GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="6502" hdrgm:Version="1.0" '
        'xmpNote:HasExtendedXMP="ABC" GCamera:HdrPlusMakernote="kept"',
        "<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'>"
        "<Container:Item Item:Semantic='GainMap' Item:Length='5691'/></rdf:li></rdf:Seq>"
        "</Container:Directory><xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails>"
        "<GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>",
    )
    after = edit(before)
    for gone in (
        "MotionPhoto",
        "MicroVideo",
        "hdrgm:V",
        "GainMap",
        "Directory",
        "Thumbnails",
        "HasEx",
    ):
        assert gone not in after
    assert 'xmp:Rating="5"' in after
    assert 'HdrPlusMakernote="kept"' in after
    assert after.startswith('<?xpacket begin="\ufeff"')
    assert edit(after.encode()) == after


AS_ELEMENTS = """<mwg-rs:Regions rdf:parseType="Resource">
<mwg-rs:AppliedToDimensions rdf:parseType="Resource"><stDim:w>80</stDim:w><stDim:h>40</stDim:h>
</mwg-rs:AppliedToDimensions><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">
<mwg-rs:Area rdf:parseType="Resource"><stArea:x>0.25</stArea:x><stArea:y>0.2</stArea:y>
<stArea:w>0.1</stArea:w><stArea:h>0.4</stArea:h><stArea:unit>normalized</stArea:unit></mwg-rs:Area>
</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"""
AS_ATTRIBUTES = """<mwg-rs:Regions><rdf:Description><mwg-rs:AppliedToDimensions stDim:w="80"
 stDim:h="40"/><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description><mwg-rs:Area stArea:x="0.25"
 stArea:y="0.2" stArea:w="0.1" stArea:h="0.4"/></rdf:Description></rdf:li></rdf:Bag>
</mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>"""
IN_PIXELS = re.sub(
    "(0.25|0.2|0.1|0.4)(?=<)",
    lambda found: {"0.25": "20", "0.2": "8", "0.1": "8", "0.4": "16"}[found[0]],
    AS_ELEMENTS,
).replace("normalized", "pixel")


def find(text, name):
    return float(re.search(rf"""{name}(?:=['"]|>)([\d.]+)""", text)[1])


CENTRES = {1: (0.25, 0.2), 2: (0.75, 0.2), 3: (0.75, 0.8), 4: (0.25, 0.8),
           5: (0.2, 0.25), 6: (0.8, 0.25), 7: (0.8, 0.75), 8: (0.2, 0.75)}  # fmt: skip
"""Where the centre (0.25, 0.2) is seen: EXIF's definition, drawn on paper."""


@pytest.mark.parametrize("orientation", CENTRES)
@pytest.mark.parametrize("form", [AS_ELEMENTS, AS_ATTRIBUTES], ids=["elements", "attributes"])
def test_a_face_region_turns_with_the_pixels(orientation, form):
    after = edit(packet(elements=form), orientation)
    centre = find(after, "stArea:x"), find(after, "stArea:y")
    assert centre == pytest.approx(CENTRES[orientation])
    sides = find(after, "stArea:w"), find(after, "stArea:h")
    assert sides == ((0.1, 0.4) if orientation < 5 else (0.4, 0.1))
    dimensions = find(after, "stDim:w"), find(after, "stDim:h")
    assert dimensions == ((80, 40) if orientation < 5 else (40, 80))


IPTC_ELEMENTS = """<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource">
<Iptc4xmpExt:RegionBoundary rdf:parseType="Resource">
<Iptc4xmpExt:rbShape>SHAPE</Iptc4xmpExt:rbShape>
<Iptc4xmpExt:rbUnit>relative</Iptc4xmpExt:rbUnit>
VALUES</Iptc4xmpExt:RegionBoundary></rdf:li></rdf:Bag></Iptc4xmpExt:ImageRegion>"""
IPTC_ATTRIBUTES = """<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li><rdf:Description>
<Iptc4xmpExt:RegionBoundary><rdf:Description Iptc4xmpExt:rbShape="SHAPE"
 Iptc4xmpExt:rbUnit="relative" VALUES/></Iptc4xmpExt:RegionBoundary></rdf:Description></rdf:li>
</rdf:Bag></Iptc4xmpExt:ImageRegion>"""


def make_iptc(shape, form=IPTC_ELEMENTS, **values):
    one = "<Iptc4xmpExt:{0}>{1}</Iptc4xmpExt:{0}>"
    if form == IPTC_ATTRIBUTES:
        one = 'Iptc4xmpExt:{0}="{1}" '
    texts = "".join(one.format(name, value) for name, value in values.items())
    return form.replace("SHAPE", shape).replace("VALUES", texts)


@pytest.mark.parametrize("orientation", CENTRES)
@pytest.mark.parametrize("form", [IPTC_ELEMENTS, IPTC_ATTRIBUTES], ids=["elements", "attributes"])
def test_a_rectangle_of_iptc_turns_with_the_pixels(orientation, form):
    rectangle = make_iptc("rectangle", form, rbX=0.2, rbY=0, rbW=0.1, rbH=0.4)
    after = edit(packet(elements=rectangle), orientation)
    left, top, width, height = (find(after, f"rb{name}") for name in "XYWH")
    assert (left + width / 2, top + height / 2) == pytest.approx(CENTRES[orientation])
    sides = (0.1, 0.4) if orientation < 5 else (0.4, 0.1)
    assert (width, height) == pytest.approx(sides)


def test_circles_and_polygons_of_iptc_turn_and_grow():
    circle = make_iptc("circle", rbX=0.25, rbY=0.2, rbRx=0.1)
    after = edit(packet(elements=circle), 6, after=(80, 160))
    # A radius of 8 of 80 px becomes 16 of 80 px: turned by 90°, and twice as large.
    assert [find(after, name) for name in ("rbX", "rbY", "rbRx")] == [0.8, 0.25, 0.2]
    in_pixels = make_iptc("circle", rbX=20, rbY=8, rbRx=8).replace("relative", "pixel")
    after = edit(packet(elements=in_pixels), 6, after=(80, 160))
    assert [find(after, name) for name in ("rbX", "rbY", "rbRx")] == [64, 40, 16]
    corners = "".join(
        f'<rdf:li Iptc4xmpExt:rbX="{x}" Iptc4xmpExt:rbY="{y}"/>' for x, y in ((0.1, 0), (0.3, 0.5))
    )
    polygon = IPTC_ELEMENTS.replace("SHAPE", "polygon").replace(
        "VALUES", f"<Iptc4xmpExt:rbVertices><rdf:Seq>{corners}</rdf:Seq></Iptc4xmpExt:rbVertices>"
    )
    after = edit(packet(elements=polygon), 6)
    found = re.findall(r'rbX="([\d.]+)" Iptc4xmpExt:rbY="([\d.]+)"', after)
    assert found == [("1", "0.1"), ("0.5", "0.3")]


def test_a_region_in_pixels_grows_with_the_picture():
    after = edit(packet(elements=IN_PIXELS), 6, after=(80, 160))
    names = ("stArea:x", "stArea:y", "stArea:w", "stArea:h", "stDim:w", "stDim:h")
    assert [find(after, name) for name in names] == [64, 40, 32, 16, 80, 160]


def test_microsofts_regions_and_the_subject_turn():
    elements = (
        "<MP:RegionInfo rdf:parseType='Resource'><MPRI:Regions><rdf:Bag>"
        "<rdf:li MPReg:Rectangle='0.2, 0, 0.1, 0.4'/></rdf:Bag></MPRI:Regions></MP:RegionInfo>"
        "<exif:SubjectArea><rdf:Seq><rdf:li>20</rdf:li><rdf:li>8</rdf:li><rdf:li>8</rdf:li>"
        "<rdf:li>16</rdf:li></rdf:Seq></exif:SubjectArea>"
    )
    after = edit(packet(elements=elements), 6, after=(80, 160))
    assert 'MPReg:Rectangle="0.6, 0.2, 0.4, 0.1"' in after
    assert re.findall(r"<rdf:li>(\d+)</rdf:li>", after) == ["64", "40", "32", "16"]


def test_a_panorama_states_the_size_that_is_written():
    attributes = (
        'GPano:FullPanoWidthPixels="4000" GPano:FullPanoHeightPixels="2000" '
        'GPano:CroppedAreaImageWidthPixels="80" GPano:CroppedAreaImageHeightPixels="40" '
        'GPano:CroppedAreaLeftPixels="10" GPano:CroppedAreaTopPixels="6" '
    )
    after = edit(packet(attributes), after=(160, 80))
    for stated in ('FullPanoWidthPixels="8000', 'ImageHeightPixels="80', 'TopPixels="12'):
        assert stated in after


@pytest.mark.parametrize(
    "damaged",
    [
        packet('hdrgm:Version="1"')[:-30],
        b"\xff\xfe<hdr-gain-map",
        b'<!DOCTYPE x [<!ENTITY a "hdr-gain-map">]>' + packet('hdrgm:Version="1"'),
        b"<MotionPhoto>" * 3000 + b"</MotionPhoto>" * 3000,
        packet(elements=AS_ELEMENTS.replace("0.25", "left")),
        packet('hdrgm:Version="1"') + b" " * xmp_edits.MOST_BYTES,
    ],
    ids=["cut", "no text", "entities", "deep", "no number", "long"],
)
def test_a_damaged_packet_does_no_harm(damaged):
    edit_once = update_xmp(damaged, Turn(6, (80, 40), (40, 80)))
    assert edit_once == damaged or b'"left"' in edit_once or b">left<" in edit_once


def test_an_orientation_in_xmp_is_found():
    assert find_xmp_orientation(b'<a tiff:Orientation="8"/>') == 8
    assert find_xmp_orientation(b"<tiff:Orientation>3</tiff:Orientation>") == 3
    assert find_xmp_orientation(b'<a tiff:Orientation="99999999999999"/>') == 0
