"""Sheets of numbered crops, and when they accompany a preview."""

from __future__ import annotations

import pytest
import torch

from gpen_core.faces import Faces
from gpen_core.preview import draw_previews, draw_sheet, draw_sheets
from gpen_core.preview.sheet import FONT, GAP, GREY, LARGEST_CELL, MAX_CROPS


def faces_of(*boxes, images=None, size=(1, 200, 400)):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    images = torch.tensor(images or [0] * len(boxes))
    points = boxes[:, None, :2].expand(-1, 5, -1)
    return Faces(boxes, points, torch.ones(len(boxes)), images, size)


def shades(count):
    """Plain crops, each of its own shade of red."""
    return [
        torch.tensor([(i + 1) / count, 0, 0])[:, None, None].expand(3, 20, 20) for i in range(count)
    ]


def test_crops_stand_in_rows_in_their_order():
    sheet = draw_sheet(shades(5), list("01234"))
    columns, side = 3, LARGEST_CELL
    for number in range(5):
        x = GAP + number % columns * (side + GAP) + side // 2
        y = GAP + number // columns * (side + FONT + 2 * GAP) + side // 2
        assert sheet[0, y, x] == pytest.approx((number + 1) / 5, abs=1e-4)


def test_each_crop_has_its_own_label_below():
    sheet = draw_sheet(shades(2), ["0", "11"])
    below = sheet[:, GAP + LARGEST_CELL :]
    labels = below[..., :LARGEST_CELL], below[..., GAP + LARGEST_CELL : GAP + 2 * LARGEST_CELL]
    assert all(label.amin(0).amax() > 0.9 for label in labels)
    assert not torch.equal(*labels)


def test_a_sheet_says_how_many_faces_it_leaves_out():
    full = draw_sheet(shades(MAX_CROPS), ["0"] * MAX_CROPS)
    more = draw_sheet(shades(MAX_CROPS + 7), ["0"] * (MAX_CROPS + 7))
    added = more.shape[1] - full.shape[1]
    assert added > 0  # a line of text at the top, the rest as before
    assert more[:, :added].amin(0).amax() > 0.9
    assert not torch.equal(more[:, added:], full)  # the shades differ
    assert torch.equal(more[:, :, :GAP], torch.full_like(more[:, :, :GAP], GREY))


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (1, 1), (0, 5)])
def test_crops_of_any_shape_keep_their_proportions(shape):
    sheet = draw_sheet([torch.ones(3, *shape)], ["0"])
    cell = sheet[:, GAP : GAP + LARGEST_CELL, GAP : GAP + LARGEST_CELL].amin(0) > 0.9
    height, width = int(cell.any(1).sum()), int(cell.any(0).sum())
    scale = LARGEST_CELL / max(shape)
    assert (height, width) == (shape[0] * scale, shape[1] * scale * bool(shape[0]))


def test_values_beyond_the_range_are_clamped():
    rough = torch.tensor([-3.0, 5.0, float("nan"), 0.5]).repeat(5).expand(3, 20, 20)
    sheet = draw_sheet([rough], ["0"])
    assert sheet.min() >= 0
    assert sheet.max() <= 1


def test_small_faces_get_a_sheet_and_large_ones_none():
    image = torch.zeros(1, 3, 200, 400)
    small, large = [10, 10, 32, 32], [100, 10, 200, 150]
    assert len(draw_previews(image, faces_of(large))) == 1
    assert len(draw_previews(image, faces_of(large, small))) == 2
    assert len(draw_previews(image, faces_of())) == 1


def test_the_sheet_shows_each_face_around_its_box():
    image = torch.zeros(1, 3, 200, 400)
    image[0, 0, 50:72, 50:72] = 1.0
    image[0, 1, 50:72, 350:372] = 1.0
    _, sheet = draw_previews(image, faces_of([350, 50, 372, 72], [50, 50, 72, 72]))
    middle = GAP + LARGEST_CELL // 2
    first, second = sheet[:, middle, middle], sheet[:, middle, middle + GAP + LARGEST_CELL]
    assert first.tolist() == pytest.approx([0, 1, 0], abs=0.01)
    assert second.tolist() == pytest.approx([1, 0, 0], abs=0.01)


def test_faces_shrunk_below_the_limit_count_as_small():
    size = (1, 200, 4000)
    image = torch.zeros(1, 3, 200, 4000)
    assert len(draw_previews(image, faces_of([100, 10, 200, 110], size=size))) == 2


def test_images_have_precedence_over_sheets():
    images = list(range(6))
    faces = faces_of(*[[10, 10, 32, 32]] * 6, images=images, size=(6, 50, 60))
    previews = draw_previews(torch.zeros(6, 3, 50, 60), faces, most=8)
    assert [picture.shape[1:] == (50, 60) for picture in previews] == [True] * 6 + [False] * 2
    assert len(draw_previews(torch.zeros(6, 3, 50, 60), faces, most=4)) == 4


def test_faces_outside_of_the_image_do_not_fail():
    image = torch.zeros(1, 3, 50, 60)
    boxes = [[-300, -300, -280, -280], [1e6, 0, 1e6 + 20, 20], [5, 5, 5, 5]]
    assert len(draw_previews(image, faces_of(*boxes, size=(1, 50, 60)))) == 2


def test_one_sheet_per_image_with_faces():
    faces = faces_of(*[[10, 10, 32, 32]] * 5, images=[1, 1, 3, 4, 4], size=(5, 50, 60))
    crops = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sheets = draw_sheets(crops, faces, [0, 4, 2, 0, 1])
    assert [sheet.shape[2] > 400 for sheet in sheets] == [True, False, True]
    assert len(draw_sheets(crops, faces, [0] * 5, most=2)) == 2
    assert draw_sheets(crops[:0], faces[[]], []) == []
