from __future__ import annotations

import pytest
import torch

from gpen_core.faces import Faces
from gpen_core.preview import BOX_COLOUR, LANDMARK_COLOUR, MISSED_COLOUR, draw_faces, number_faces


def one_face(x0, y0, x1, y1, size=(1, 100, 100)):
    points = torch.tensor([[[(x0 + x1) / 2, (y0 + y1) / 2]] * 5])
    return Faces(torch.tensor([[x0, y0, x1, y1]]), points, torch.ones(1), torch.zeros(1), size)


def is_colour(pixel, colour):
    return torch.allclose(pixel, torch.tensor(colour), atol=1e-6)


def test_box_and_landmarks_are_drawn_at_their_coordinates():
    drawn = draw_faces(torch.zeros(1, 3, 100, 100), one_face(20.0, 30.0, 60.0, 80.0))[0]
    assert is_colour(drawn[:, 50, 20], BOX_COLOUR)
    assert is_colour(drawn[:, 79, 59], BOX_COLOUR)
    assert is_colour(drawn[:, 55, 40], LANDMARK_COLOUR)
    assert drawn[:, 60, 30].eq(0).all()


def test_drawing_does_not_change_the_image():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    draw_faces(image, one_face(5.0, 5.0, 40.0, 40.0, (1, 64, 64)))
    assert torch.equal(image, before)


def test_numbers_start_at_zero_in_every_image():
    faces = Faces(
        boxes=torch.tensor([[40.0, 40, 80, 80]] * 2),
        landmarks=torch.zeros(2, 5, 2),
        scores=torch.ones(2),
        image_index=torch.tensor([0, 1]),
        image_size=(2, 100, 100),
    )
    first, second = draw_faces(torch.zeros(2, 3, 100, 100), faces)
    assert torch.equal(first, second)


def test_faces_in_one_image_get_different_numbers():
    boxes = torch.tensor([[10.0, 40, 40, 80], [60.0, 40, 90, 80]])
    faces = Faces(boxes, torch.full((2, 5, 2), -9.0), torch.ones(2), torch.zeros(2), (1, 100, 100))
    drawn = draw_faces(torch.zeros(1, 3, 100, 100), faces)[0]
    plates = drawn[:, 20:39, 8:30], drawn[:, 20:39, 58:80]
    assert all(plate.amin(0).amax() > 0.9 for plate in plates)  # white digits
    assert not torch.equal(*plates)


def test_numbers_count_in_each_image():
    assert number_faces(torch.tensor([0, 2, 0, 2, 2])) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_most_of_a_face_of_22_px_stays_as_it_is(grey):
    box = torch.tensor([[40.0, 40, 62, 62]])
    points = box[:, None, :2] + torch.tensor([[7.0, 8], [15, 8], [11, 12], [8, 16], [14, 16]])
    faces = Faces(box, points, torch.ones(1), torch.zeros(1), (1, 100, 100))
    inside = draw_faces(torch.full((1, 3, 100, 100), grey), faces)[0, :, 40:62, 40:62]
    assert ((inside - grey).abs() < 0.1).all(0).float().mean() > 0.7


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_frames_points_and_digits_stand_out_on_any_background(grey):
    """Where something is drawn, a pixel and one beside it differ strongly in brightness."""
    drawn = draw_faces(torch.full((1, 3, 100, 100), grey), one_face(40.0, 40.0, 62.0, 62.0))[0]
    luma = (drawn * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    frame, point, number = luma[50, 38:43], luma[50:53, 50:53], luma[25:39, 38:55]
    for marked in (frame, point, number):
        assert marked.amax() - marked.amin() > 0.35


def test_numbers_are_drawn_over_the_boxes_of_later_faces():
    boxes = torch.tensor([[0.0, 0, 60, 60], [1.0, 1, 59, 59], [2.0, 2, 58, 58]])
    faces = Faces(boxes, torch.full((3, 5, 2), -9.0), torch.ones(3), torch.zeros(3), (1, 60, 60))
    both = draw_faces(torch.zeros(1, 3, 60, 60), faces)[0]
    white = (both.amin(0) > 0.9).sum()
    alone = (draw_faces(torch.zeros(1, 3, 60, 60), faces[[0]])[0].amin(0) > 0.9).sum()
    assert white > 2 * alone  # the digits 0, 1 and 2; 1 is thinner than 0


def test_values_beyond_the_range_are_clamped():
    image = torch.tensor([-3.0, 0.5, 4.0, float("nan")]).repeat(25)[None, None, None]
    image = image.expand(1, 3, 100, 100)
    drawn = draw_faces(image, one_face(20.0, 30.0, 60.0, 80.0))
    assert drawn.min() >= 0
    assert drawn.max() <= 1


@pytest.mark.parametrize(
    "box", [(-50.0, -50.0, 10.0, 10.0), (90.0, 90.0, 300.0, 300.0), (200.0, 200.0, 260.0, 260.0)]
)
def test_boxes_over_the_border_are_clipped(box):
    drawn = draw_faces(torch.zeros(1, 3, 100, 100), one_face(*box))
    assert drawn.shape == (1, 3, 100, 100)


def test_large_images_are_shrunk_together_with_their_boxes():
    drawn = draw_faces(
        torch.zeros(1, 3, 400, 800), one_face(400.0, 100.0, 600.0, 300.0, (1, 400, 800)),
        max_side=200,
    )[0]  # fmt: skip
    assert drawn.shape == (3, 100, 200)
    assert is_colour(drawn[:, 60, 100], BOX_COLOUR)


def test_boxes_without_a_face_are_drawn_in_red():
    drawn = draw_faces(
        torch.zeros(1, 3, 50, 50), Faces.empty((1, 50, 50)), missed=[(0, (5, 5, 30, 30))]
    )[0]
    assert is_colour(drawn[:, 15, 5], MISSED_COLOUR)


def test_faces_of_images_outside_of_the_batch_are_not_drawn():
    faces = one_face(5.0, 5.0, 20.0, 20.0, (4, 50, 50))
    late = Faces(faces.boxes, faces.landmarks, faces.scores, torch.tensor([3]), (4, 50, 50))
    assert draw_faces(torch.zeros(2, 3, 50, 50), late).eq(0).all()
