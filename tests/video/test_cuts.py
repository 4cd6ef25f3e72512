"""The test set of the cut detector: small films whose cuts are known."""

from __future__ import annotations

import cv2
import films
import numpy as np
import pytest

from gpen_core.video.cuts import CutFinder, find_cuts


def scene(seed, width=160, height=90):
    """Return grey levels of a picture with structure of all sizes."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for size in (3, 6, 12, 25):
        coarse = rng.normal(0, 1, (size, 2 * size)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 20
    return np.clip(picture + 120, 0, 255)


def cuts_of(pictures):
    finder = CutFinder()
    return find_cuts([finder.compare(picture.astype(np.uint8)) for picture in pictures])


def noisy(picture, seed, sigma=6.0):
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255)


def test_hard_cuts_are_found_at_their_frame():
    shots = [scene(1)] * 9 + [scene(2)] * 7 + [scene(3)] * 12
    assert cuts_of([noisy(one, n) for n, one in enumerate(shots)]) == [9, 16]


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_between_any_two_scenes(seed):
    assert cuts_of([scene(10 + seed)] * 6 + [scene(30 + seed)] * 6) == [6]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length):
    white = np.full((90, 160), 250.0)
    burnt = np.clip(scene(1) * 3, 0, 255)
    for flash in (white, burnt, scene(8)):
        assert cuts_of([scene(1)] * 8 + [flash] * length + [scene(1)] * 8) == []


def test_two_flashes_and_a_cut():
    white = np.full((90, 160), 250.0)
    shots = [scene(1)] * 5 + [white] + [scene(1)] * 3 + [white] + [scene(2)] * 6
    assert cuts_of(shots) == [10]


@pytest.mark.parametrize("speed", [1, 4, 12])
def test_a_pan_is_no_cut(speed):
    wide = scene(4, width=160 + 20 * speed)
    assert cuts_of([wide[:, n * speed : n * speed + 160] for n in range(20)]) == []


def test_a_zoom_and_a_turn_are_no_cuts():
    pictures = []
    for n in range(15):
        matrix = cv2.getRotationMatrix2D((80, 45), 2.0 * n, 1 + 0.03 * n)
        pictures.append(cv2.warpAffine(scene(5), matrix, (160, 90), borderMode=cv2.BORDER_REFLECT))
    assert cuts_of(pictures) == []


def test_a_change_of_exposure_is_no_cut():
    assert cuts_of([scene(1)] * 5 + [scene(1) * 0.4] * 5 + [scene(1) * 0.8 + 40] * 5) == []


def test_a_fade_to_black_and_another_scene_is_a_cut_and_one_back_is_none():
    dark = [scene(1) * level for level in (1, 1, 0.7, 0.4, 0.1, 0, 0, 0)]
    again = [0.1, 0.4, 0.7, 1, 1]
    assert cuts_of(dark + [scene(1) * level for level in again]) == []
    cuts = cuts_of(dark + [scene(2) * level for level in again])
    assert len(cuts) == 1
    assert 8 <= cuts[0] <= 10


def test_a_dissolve_is_no_hard_cut():
    weights = np.linspace(0, 1, 16)
    assert cuts_of([scene(1) * (1 - w) + scene(2) * w for w in weights]) == []


def test_ten_bits_are_compared_as_eight():
    shots = [scene(1)] * 5 + [scene(2)] * 5
    finder = CutFinder()
    assert find_cuts([finder.compare((one * 4).astype(np.uint16)) for one in shots]) == [5]


@pytest.mark.parametrize("size", [(2, 2), (1, 300), (64, 36)])
def test_any_size_of_frame_is_taken(size):
    finder = CutFinder()
    plain = np.zeros((size[1], size[0]), np.uint8)
    assert finder.compare(plain) == [1.0, -1.0, -1.0, -1.0]
    assert films.background(*size).shape[1] == size[0]
