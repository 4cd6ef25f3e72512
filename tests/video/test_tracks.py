"""Faces become tracks: one for each person and scene."""

from __future__ import annotations

import numpy as np
import pytest

from gpen_core.video.finding import Found
from gpen_core.video.plans import make_plan
from gpen_core.video.steadiness import find_places, make_landmarks
from gpen_core.video.tracks import GAP

UNIT = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])


def face(x, y, side=40.0, jitter=None):
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    points = box[:2] + UNIT * side
    if jitter is not None:
        points = points + jitter.normal(0, 0.02 * side, points.shape)
    return [*box, *points.ravel(), 0.9]


def plan(frames, cuts=(), steady=False):
    """Make a plan from the faces of each frame."""
    likeness = [[0.0] * 4 if n in cuts else [1.0] * 4 for n in range(len(frames))]
    for cut in cuts:
        for step in range(1, 4):
            if cut + step < len(frames):
                likeness[cut + step] = [1.0, *[0.0] * 3] if step < 4 else [1.0] * 4
    records = [Found(n, n, likeness[n], faces) for n, faces in enumerate(frames)]
    return make_plan(records, "gpen", steady=steady)


def paths(made):
    """Return the frames of each track."""
    return [made.faces.frame[made.tracks == n].tolist() for n in range(made.track_count)]


def test_a_moving_face_is_one_track():
    assert paths(plan([[face(50 + 12 * n, 60)] for n in range(20)])) == [list(range(20))]


@pytest.mark.parametrize("gap", [1, GAP])
def test_a_short_gap_is_filled_along_the_path(gap):
    frames = [[face(50 + 2 * n, 60)] if not 5 <= n < 5 + gap else [] for n in range(20)]
    made = plan(frames)
    assert paths(made) == [list(range(20))]
    assert made.found == 20 - gap
    middle = made.faces.boxes[:, ::2].mean(axis=1)
    assert middle == pytest.approx([50 + 2 * n for n in range(20)])


def test_a_longer_gap_ends_a_track():
    frames = [[face(50, 60)] if not 5 <= n < 6 + GAP else [] for n in range(25)]
    assert paths(plan(frames)) == [list(range(5)), list(range(6 + GAP, 25))]


def test_no_track_and_no_filled_gap_goes_over_a_cut():
    frames = [[face(50, 60)] if n not in (8, 9, 10) else [] for n in range(20)]
    made = plan(frames, cuts=[10])
    assert made.cuts == [10]
    assert paths(made) == [list(range(8)), list(range(11, 20))]
    assert made.scene_of(9) == 0
    assert made.scene_of(10) == 1


def test_ten_faces_that_cross_keep_their_tracks():
    def frame(n):
        right = [face(20 + 9 * n, 60 + 90 * k) for k in range(5)]
        left = [face(400 - 9 * n, 82 + 90 * k) for k in range(5)]
        # The detector lists them from left to right, so that their order changes.
        return sorted(right + left)

    made = plan([frame(n) for n in range(41)])
    assert [len(path) for path in paths(made)] == [41] * 10
    for n in range(10):
        x = made.faces.boxes[made.tracks == n][:, 0]
        assert abs(np.diff(x).mean()) == pytest.approx(9)
        assert np.ptp(np.diff(x)) < 1e-6


def test_a_face_that_enters_and_leaves():
    frames = [[face(50, 60)] + ([face(200, 60)] if 5 <= n < 12 else []) for n in range(20)]
    assert paths(plan(frames)) == [list(range(20)), list(range(5, 12))]


def test_a_jump_within_a_scene_is_another_face():
    frames = [[face(50 if n < 6 else 300, 60)] for n in range(12)]
    assert paths(plan(frames)) == [list(range(6)), list(range(6, 12))]


def test_no_faces_are_a_plan_too():
    made = plan([[], [], []])
    faces, tracks = made.at(1, (64, 96))
    assert (len(faces), tracks, made.track_count) == (0, [], 0)


def test_the_faces_of_a_frame_are_those_of_the_plan():
    made = plan([[face(50, 60), face(200, 60)], [face(52, 60), face(202, 60)]])
    faces, tracks = made.at(1, (120, 300))
    assert tracks == [0, 1]
    assert faces.boxes[:, 0].tolist() == pytest.approx([32, 182])
    assert faces.image_size == (1, 120, 300)


@pytest.mark.parametrize("template", ["gpen", "ffhq"])
def test_places_and_landmarks_are_inverse(template):
    places = np.array([[4.0, 0.3, 100, 80], [5.2, -2.9, 20, 30], [3.0, 3.1, 0, 0]])
    assert find_places(make_landmarks(places, template), template) == pytest.approx(places)
