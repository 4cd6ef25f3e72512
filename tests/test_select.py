from __future__ import annotations

import pytest
import torch

from gpen_core.errors import MismatchError
from gpen_core.faces import Faces
from gpen_core.select import ORDERS, choose_faces, parse_choice, parse_indices, select_faces


@pytest.fixture
def faces():
    """Two images of 100×200: three faces in the first, two in the second."""
    boxes = torch.tensor([
        [50, 10, 70, 40],  # centre (60, 25), 20×30
        [10, 40, 50, 90],  # centre (30, 65), 40×50
        [150, 0, 160, 10],  # centre (155, 5), 10×10
        [100, 50, 120, 70],  # centre (110, 60), 20×20
        [0, 0, 30, 30],  # centre (15, 15), 30×30
    ])  # fmt: skip
    return Faces(
        boxes=boxes,
        landmarks=torch.zeros(5, 5, 2),
        scores=torch.tensor([0.9, 0.8, 0.99, 0.7, 0.95]),
        image_index=torch.tensor([0, 0, 0, 1, 1]),
        image_size=(2, 100, 200),
    )


def kept(faces, **options):
    return select_faces(faces, **options).kept.tolist()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("as detected", [0, 1, 2, 3, 4]),
        ("largest", [1, 0, 2, 4, 3]),
        ("left to right", [1, 0, 2, 4, 3]),
        ("top to bottom", [2, 0, 1, 4, 3]),
        ("score", [2, 0, 1, 4, 3]),
        ("smallest", [2, 0, 1, 3, 4]),
        ("right to left", [2, 0, 1, 3, 4]),
        ("bottom to top", [1, 0, 2, 3, 4]),
    ],
)
def test_order_sorts_within_each_image(faces, order, expected):
    assert kept(faces, order=order) == expected


def test_every_order_is_a_permutation(faces):
    for order in ORDERS:
        assert sorted(kept(faces, order=order)) == [0, 1, 2, 3, 4]


def test_indices_number_the_faces_of_each_image(faces):
    assert kept(faces, indices="0") == [0, 3]
    assert kept(faces, indices="0", order="largest") == [1, 4]


def test_negative_indices_and_open_ranges_count_in_each_image(faces):
    assert kept(faces, indices="-1") == [2, 4]
    assert kept(faces, indices="1-") == [1, 2, 4]
    assert kept(faces, indices="-3") == [0]
    assert kept(faces, indices="-1", order="largest") == [2, 3]


def test_indices_beyond_the_last_face_select_nothing(faces):
    selection = select_faces(faces, indices="7")
    assert selection.kept.tolist() == []
    assert selection.remaining.tolist() == [0, 1, 2, 3, 4]


def test_faces_are_numbered_before_any_is_left_out(faces):
    assert kept(faces, indices="1", min_size=35) == [1]
    assert kept(faces, indices="0", min_size=35) == []


def test_count_keeps_the_first_faces_of_each_image_in_order(faces):
    assert kept(faces, order="largest", count=1) == [1, 4]


def test_size_is_the_shorter_side_in_pixels_or_percent_of_the_image(faces):
    assert kept(faces, min_size=20, max_size=30) == [0, 3, 4]
    assert kept(faces, min_size=30, size_unit="%") == [1, 4]  # 30 % of 100 px


def test_remaining_holds_the_other_faces_as_detected(faces):
    assert select_faces(faces, order="largest", count=1).remaining.tolist() == [0, 2, 3]


def test_a_region_keeps_faces_with_their_centre_inside(faces):
    region = torch.zeros(1, 1, 100, 200)
    region[..., :, :100] = 1
    assert kept(faces, region=region) == [0, 1, 4]
    region = torch.cat([region, torch.zeros_like(region)])
    assert kept(faces, region=region) == [0, 1]


def test_a_region_of_another_size_is_refused_with_both_sizes(faces):
    with pytest.raises(MismatchError, match=r"200×100.*64×64"):
        select_faces(faces, region=torch.zeros(1, 1, 64, 64))
    with pytest.raises(MismatchError, match=r"found the shape \[\]"):
        select_faces(faces, region=torch.tensor(1.0))


def test_a_centre_outside_of_the_image_is_clamped_to_it():
    face = Faces(
        torch.tensor([[-40.0, -40, 10, 10]]), torch.zeros(1, 5, 2), torch.ones(1), torch.zeros(1),
        (1, 50, 50),
    )  # fmt: skip
    region = torch.zeros(1, 1, 50, 50)
    region[..., 0, 0] = 1
    assert kept(face, region=region) == [0]


def test_selecting_from_no_faces_gives_no_faces():
    selection = select_faces(Faces.empty((3, 8, 8)), indices="0-4", order="largest", count=2)
    assert len(selection.kept) == len(selection.remaining) == 0


def test_an_unknown_order_or_unit_is_refused_with_the_choices(faces):
    with pytest.raises(MismatchError, match="left to right"):
        select_faces(faces, order="prettiest")
    with pytest.raises(MismatchError, match="px or %"):
        select_faces(faces, size_unit="cm")


def test_indices_hold_numbers_and_ranges():
    assert parse_indices("0, 2-4 7 3- -2") == [(0, 0), (2, 4), (7, 7), (3, -1), (-2, -2)]
    assert parse_indices("3-999999999999") == [(3, 10**12 - 1)]
    assert parse_indices("  ") is None


@pytest.mark.parametrize("text", ["a", "1,b", "4-2", "--1", "1.5", "-", "1--2", "9" * 5000])
def test_other_indices_are_refused_by_name(text):
    with pytest.raises(MismatchError, match="names no face"):
        parse_indices(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("largest", [1, 4]),
        ("smallest", [2, 3]),
        ("left", [1, 4]),
        ("right", [2, 3]),
        ("top", [2, 4]),
        ("bottom", [1, 3]),
        ("score", [2, 4]),
        ("0,2", [0, 2, 3]),
        ("-1", [2, 4]),
        ("Left  0-1", [1, 0, 4, 3]),
        ("left to right 1", [0, 3]),
        ("as detected 0", [0, 3]),
        ("7", []),
    ],
)
def test_words_choose_faces_in_each_image(faces, words, expected):
    assert choose_faces(faces, words).scores.tolist() == faces.scores[expected].tolist()


def test_no_words_choose_every_face(faces):
    assert choose_faces(faces, None) is faces


def test_every_order_can_be_named_in_words():
    assert {parse_choice(order)[0] for order in ORDERS} == set(ORDERS)


@pytest.mark.parametrize("words", ["", " ", "biggest", "left right", "largest x", "largest0"])
def test_words_that_choose_no_face_are_refused(words):
    with pytest.raises(MismatchError, match=r"face"):
        parse_choice(words)
