"""Numbers stand where they hide no face and no other number."""

from __future__ import annotations

import numpy as np
import pytest

from gpen_core.preview.places import find_places

SIZE = (600, 800)


def crowd(seed, rows=9, columns=14):
    """Boxes in uneven rows, as people stand: close together, a few of them overlapping."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1)
    corners = np.stack([x * 56 + (y % 2) * 20, y * 64 + 10], axis=1) + rng.integers(
        -9, 9, (len(x), 2)
    )
    boxes = np.concatenate([corners, corners + rng.integers(22, 44, (len(x), 1))], axis=1)
    return boxes.round().astype(np.float32)


def overlap(first, second):
    """Covered areas of each pair, [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clip(0).prod(axis=2)


def place(boxes, taken=(), size=SIZE):
    labels = np.tile([22, 15], (len(boxes), 1))
    return find_places(boxes, labels, np.array(taken, np.float32).reshape(-1, 4), size)


@pytest.mark.parametrize("seed", range(4))
def test_in_a_crowd_no_number_covers_a_face_or_another_number(seed):
    boxes = crowd(seed)
    places = place(boxes)
    assert not overlap(places, boxes).any()
    assert not np.triu(overlap(places, places), 1).any()


def test_numbers_lie_inside_the_image():
    places = place(crowd(5) + np.float32([0, -30, 0, -30]))
    assert places.min() >= 0
    assert (places[:, 2:] <= SIZE[::-1]).all()


def test_numbers_keep_away_from_boxes_drawn_in_red():
    red = [[0, 0, 300, 95]]
    places = place(np.float32([[100, 100, 140, 140]]), red)
    assert not overlap(places, np.float32(red)).any()


def test_a_lone_face_has_its_number_above_its_left_corner():
    assert place(np.float32([[100, 100, 140, 140]])).tolist() == [[100, 85, 122, 100]]


def test_a_face_as_large_as_the_image_has_its_number_inside():
    assert place(np.float32([[-10, -10, 810, 610]])).tolist()[0][:2] == [0, 0]


def test_a_number_larger_than_the_image_is_placed_at_its_corner():
    assert place(np.float32([[2, 2, 8, 8]]), size=(10, 10)).tolist() == [[0, 0, 22, 15]]


def test_no_box_gives_no_place():
    assert place(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_numbers_find_places_even_where_faces_leave_none():
    y, x = np.mgrid[0:240:40, 0:320:40].reshape(2, -1)
    places = place(np.stack([x, y, x + 40, y + 40], axis=1).astype(np.float32), size=(240, 320))
    assert not np.triu(overlap(places, places), 1).any()
