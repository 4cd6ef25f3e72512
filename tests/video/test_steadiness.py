"""Places are smoothed without lag, without error, and never across a cut."""

from __future__ import annotations

import numpy as np
import pytest

from gpen_core.video import steadiness
from gpen_core.video.steadiness import REACH, find_places, make_landmarks, smooth
from gpen_core.video.tracks import Sightings


def path(count=120):
    """Return places of a face that moves, turns and comes nearer as a person does in 5 s."""
    t = np.arange(count) / 25
    return np.stack(
        [
            4.5 + 0.15 * np.sin(2 * np.pi * 0.3 * t),
            0.2 * np.sin(2 * np.pi * 0.5 * t),
            300 + 60 * np.sin(2 * np.pi * 0.4 * t),
            200 + 20 * np.sin(2 * np.pi * 0.7 * t),
        ],
        axis=1,
    )


def sightings(places, sigma):
    points = make_landmarks(places, "gpen")
    points += np.random.default_rng(0).normal(0, sigma, points.shape)
    low, high = points.min(axis=1), points.max(axis=1)
    count = len(points)
    return Sightings(np.arange(count), np.hstack([low, high]), points, np.full(count, 0.9))


def jitter(points):
    return float(np.sqrt((np.diff(points, 2, axis=0) ** 2).mean()))


def test_jitter_is_a_third_and_the_error_is_smaller():
    truth = make_landmarks(path(), "gpen")
    found = sightings(path(), sigma=1.5)
    raw = make_landmarks(find_places(found.landmarks, "gpen"), "gpen")
    tracks = np.zeros(len(truth), dtype=np.int64)
    smoothed, _ = steadiness.smooth_tracks(found, tracks, "gpen")
    extra = jitter(smoothed.landmarks - truth)
    assert extra < jitter(raw - truth) / 3
    error = np.abs(smoothed.landmarks - truth).mean()
    assert error < np.abs(raw - truth).mean() * 0.7


def test_there_is_no_lag():
    truth = path()
    smoothed = smooth(truth, REACH)
    inside = slice(10, -10)
    shifts = range(-3, 4)
    errors = [np.abs(smoothed[inside, 2] - np.roll(truth[:, 2], s)[inside]).mean() for s in shifts]
    assert int(np.argmin(errors)) == 3  # no shift
    assert np.abs(smoothed - truth)[:, 2].max() < 0.5


def test_a_path_of_constant_acceleration_is_kept_to_its_ends():
    t = np.arange(30.0)
    values = np.stack([3 + 2 * t, 0.3 * t**2 - t], axis=1)
    assert smooth(values, REACH) == pytest.approx(values)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_short_tracks_are_kept(count):
    values = path(count)
    assert smooth(values, REACH).shape == values.shape
    assert smooth(values[:1].repeat(count, 0), REACH) == pytest.approx(values[:1].repeat(count, 0))


def test_a_frame_depends_on_its_neighbours_only():
    values = path(40)
    other = values.copy()
    other[: 20 - REACH] += 50
    other[21 + REACH :] -= 50
    assert np.array_equal(smooth(values, REACH)[20], smooth(other, REACH)[20])


def test_angles_go_through_the_half_turn():
    places = path(30)
    places[:, 1] = np.pi - 0.1 + 0.01 * np.arange(30)
    tracks = np.zeros(30, dtype=np.int64)
    smoothed, _ = steadiness.smooth_tracks(sightings(places, 0.0), tracks, "gpen")
    assert smoothed.landmarks == pytest.approx(make_landmarks(places, "gpen"), abs=0.3)


def test_tracks_are_smoothed_each_for_itself():
    places = np.concatenate([path(20), path(20) + np.array([0, 0, 400, 0])])
    found = sightings(places, 0.5)
    found = Sightings(np.tile(np.arange(20), 2), found.boxes, found.landmarks, found.scores)
    order = np.argsort(found.frame, kind="stable")
    tracks = np.repeat([0, 1], 20)[order]
    both, numbers = steadiness.smooth_tracks(found[order], tracks, "gpen")
    alone, _ = steadiness.smooth_tracks(found[np.arange(20)], np.zeros(20, np.int64), "gpen")
    assert np.array_equal(both.landmarks[numbers == 0], alone.landmarks)
