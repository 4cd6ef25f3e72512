"""Pages that stand alone: escaped, without scripts, and whole or not there at all."""

from __future__ import annotations

import base64
import io
import re

import pytest
import torch
from PIL import Image
from report_pictures import Reader

from gpen_core.reports.html import (
    Html,
    encode_picture,
    escape,
    make_card,
    make_details,
    make_grid,
    make_heading,
    make_link,
    make_list,
    make_page,
    make_paragraph,
    make_picture,
    make_table,
    write_page,
)

HOSTILE = "<script>alert(1)</script>\"'&\x1b[2J"


def test_every_text_is_escaped_wherever_it_stands():
    picture = encode_picture(torch.rand(3, 4, 5))
    page = make_page(
        HOSTILE,
        HOSTILE,
        make_heading(HOSTILE),
        make_paragraph(HOSTILE, quiet=True),
        make_list([HOSTILE]),
        make_table([HOSTILE], [[HOSTILE], [1.5]]),
        make_grid([make_card(make_picture(picture, HOSTILE, HOSTILE), HOSTILE)]),
        make_details(HOSTILE, HOSTILE),
        make_link(HOSTILE, HOSTILE),
        language=HOSTILE,
    )
    reader = Reader(page)
    assert reader.open == []
    assert "script" not in reader.tags
    assert "\x1b" not in page
    assert reader.text.count("<script>alert(1)</script>\"'&\\x1b[2J") == 13


def test_a_page_loads_nothing_from_elsewhere():
    page = make_page("a", make_picture(encode_picture(torch.rand(3, 4, 5)), "a face"))
    assert "default-src 'none'" in page
    for address in Reader(page).addresses:
        assert address.startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("two words/ü?.html", "./two%20words/%C3%BC%3F.html"),
        ("\udcff.html", "./%FF.html"),
    ],
)
def test_a_link_is_the_path_of_a_file_whatever_its_name(name, address):
    assert f'href="{address}"' in make_link(name, name)


def test_a_picture_keeps_size_colours_and_profile():
    pixels = torch.tensor([1.5, 0.5, -0.2])[:, None, None].expand(3, 20, 30)
    page = make_picture(encode_picture(pixels, profile=b"icc"), "red")
    match = re.search(r"base64,([^\"]+)", page)
    assert match
    with Image.open(io.BytesIO(base64.b64decode(match[1]))) as image:
        assert image.size == (30, 20)
        assert image.info["icc_profile"] == b"icc"
        found = torch.tensor(image.getpixel((10, 10)), dtype=torch.float32)
    assert (found - torch.tensor([255.0, 127.5, 0.0])).abs().max() <= 3


def test_html_is_escaped_once():
    assert escape(escape("a & b")) == "a &amp; b"
    assert escape(Html("<b>")) == "<b>"
    assert escape("two\nlines") == "two<br>lines"


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "page.html"
    write_page(path, make_page("\udcff"), overwrite=False)
    assert "<title>\\udcff</title>" in path.read_text("utf-8")
    with pytest.raises(FileExistsError):
        write_page(path, "other", overwrite=False)
    write_page(path, "other", overwrite=True)
    assert path.read_text("utf-8") == "other"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
