"""Frames become RGB and back: exactly where nothing changes, elsewhere by the standard."""

from __future__ import annotations

import av
import films
import numpy as np
import pytest
import torch

from gpen_core.video.colours import Colours, align_rectangle
from gpen_core.video.layouts import LAYOUTS, ColourTags, choose_layout, copy_frame, view_planes
from gpen_core.warp import Rectangle

WHOLE = Rectangle(0, 0, films.WIDTH, films.HEIGHT)


def make_planes(name, picture):
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=name)
    layout = LAYOUTS[name]
    copy = copy_frame(frame, layout, view_planes(frame, layout))
    return copy, view_planes(copy, layout), layout


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le"])
def test_rgb_is_that_of_ffmpeg(name):
    _, planes, layout = make_planes(name, films.moving_face(1)[0])
    found = Colours.of(layout, ColourTags(), films.HEIGHT).to_rgb(planes, WHOLE)
    wanted = torch.from_numpy(films.moving_face(1)[0]).permute(2, 0, 1) / 255
    # Away from the square's edge, where chroma is shared by several pixels.
    for part in (np.s_[:, 30:34, 28:32], np.s_[:, :, 50:]):
        assert float((found[0][part] - wanted[part]).abs().max()) < 0.025


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_white_and_primaries_have_the_values_of_the_standard(matrix, full):
    layout = LAYOUTS["yuv444p"]
    colours = Colours.of(layout, ColourTags(matrix=matrix, range=2 if full else 1), 64)
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    black, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    # White, and red: Y' = Kr, Cb = -Kr / (2 (1 - Kb)), Cr = 1/2.
    y = np.array([[black + luma, round(black + luma * kr)]], np.uint8)
    u = np.array([[128, round(128 - chroma * kr / (2 * (1 - kb)))]], np.uint8)
    v = np.array([[128, min(255, round(128 + chroma / 2))]], np.uint8)
    found = colours.to_rgb([y, u, v], Rectangle(0, 0, 2, 1))[0, :, 0]
    wanted = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert float((found - wanted).abs().max()) < 0.01


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_part_is_that_of_the_whole_and_no_change_changes_nothing(name):
    _, planes, layout = make_planes(name, films.moving_face(1)[0])
    colours = Colours.of(layout, ColourTags(), films.HEIGHT)
    part = align_rectangle(Rectangle(21, 17, 48, 43), layout, films.WIDTH, films.HEIGHT)
    found = colours.to_rgb(planes, part)
    whole = colours.to_rgb(planes, WHOLE)
    inside = whole[:, :, part.top : part.bottom, part.left : part.right]
    assert torch.equal(found, inside)
    before = [plane.copy() for plane in planes]
    colours.add(planes, part, torch.zeros_like(found))
    assert all(np.array_equal(one, other) for one, other in zip(before, planes, strict=True))


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_a_change_arrives(name):
    _, planes, layout = make_planes(name, films.background())
    colours = Colours.of(layout, ColourTags(), films.HEIGHT)
    part = Rectangle(20, 16, 52, 44)
    change = torch.zeros(1, 3, 28, 32)
    change[:, 0, 6:22, 6:26] = 0.2
    before = colours.to_rgb(planes, WHOLE)
    colours.add(planes, part, change)
    after = colours.to_rgb(planes, WHOLE)
    difference = (after - before)[0]
    assert float((difference[0, 24:36, 30:42] - 0.2).abs().max()) < 0.02
    assert float(difference[1:, 24:36, 30:42].abs().max()) < 0.02
    difference[:, 14:46, 18:54] = 0
    assert float(difference.abs().max()) == 0


def test_odd_sizes_have_chroma_for_the_last_row_and_column():
    picture = films.background(97, 63)
    _, planes, layout = make_planes("yuv420p", picture)
    colours = Colours.of(layout, ColourTags(), 63)
    found = colours.to_rgb(planes, Rectangle(0, 0, 97, 63))
    assert found.shape == (1, 3, 63, 97)
    colours.add(planes, Rectangle(90, 60, 97, 63), torch.full((1, 3, 3, 7), 0.1))
    after = colours.to_rgb(planes, Rectangle(0, 0, 97, 63))
    assert float((after - found)[0, :, -1, -1].mean()) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("yuvj420p", "yuv420p"), ("nv12", "yuv420p"), ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"), ("gray", "yuv420p"), ("gray10le", "yuv420p10le"),
        ("gbrp", "yuv444p"), ("gbrp16le", "yuv444p12le"), ("pal8", "yuv444p"),
        ("yuva444p10le", "yuv444p10le"), ("yuv410p", "yuv444p"), ("rgb24", "yuv444p"),
    ],
)  # fmt: skip
def test_every_format_has_a_layout_that_holds_it(name, wanted):
    assert choose_layout(name).name == wanted
