"""The flicker of a network goes; what moves keeps its own."""

from __future__ import annotations

from itertools import pairwise

import films
import numpy as np
import pytest
import torch

from gpen_core.video.flicker import LOOK_BACK, FlickerFilter

SIDE = 64


def crop(shift=0.0, size=SIDE):
    """Return a structured crop [1, 3, size, size], moved to the right by `shift` pixels."""
    wide = films.background(size + 16, size, seed=3).astype(np.float32) / 255
    x = np.arange(size) + 8 - shift
    left = np.floor(x).astype(int)
    part = wide[:, left] * (1 - (x - left))[:, None] + wide[:, left + 1] * (x - left)[:, None]
    return torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)[None]


def flickering(given, seed, size=SIDE):
    """Return a crop as a network would restore it: with a change that differs by chance."""
    coarse = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    noise = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    larger = torch.nn.functional.interpolate(given, (size, size), mode="bicubic")
    return (larger + 0.02 * noise).clamp(0, 1)


def differences(results):
    return float(np.mean([(a - b).abs().mean() for a, b in pairwise(results)]))


@pytest.mark.parametrize("size", [SIDE, 2 * SIDE])
def test_a_still_face_flickers_less_than_half(size):
    given = crop()
    restored = [flickering(given, n, size) for n in range(10)]
    flicker = FlickerFilter()
    steady = [flicker.smooth(n, 0, given, one) for n, one in enumerate(restored)]
    assert differences(steady[LOOK_BACK:]) < 0.5 * differences(restored[LOOK_BACK:])
    assert steady[0].shape == (1, 3, size, size)


def test_a_change_moves_with_the_face():
    """The network's change is a pattern fixed to the face, which moves by a pixel a frame."""
    flicker, errors = FlickerFilter(), []
    for n in range(6):
        given, pattern = crop(shift=n), crop(shift=n) ** 2
        steady = flicker.smooth(n, 0, given, pattern)
        errors.append(float((steady - pattern).abs()[..., 8:-8, 8:-8].mean()))
    assert max(errors) < 0.004


def test_what_changes_keeps_its_own():
    """A mouth opens: its place is dark at once, as restored, in the first frame."""
    given = crop()
    flicker = FlickerFilter()
    for n in range(3):
        flicker.smooth(n, 0, given, given + 0.05)
    opened = given.clone()
    opened[..., 40:56, 20:44] = 0.05
    restored = (opened - 0.04).clamp(0, 1)
    steady = flicker.smooth(3, 0, opened, restored)
    assert float((steady - restored)[..., 46:50, 28:36].abs().mean()) < 0.01


def test_a_frame_depends_on_the_two_before_it_only():
    given = [crop(shift=0.3 * n) for n in range(6)]
    restored = [flickering(one, n) for n, one in enumerate(given)]
    whole, late = FlickerFilter(), FlickerFilter()
    results = [whole.smooth(n, 0, given[n], restored[n]) for n in range(6)]
    again = [late.smooth(n, 0, given[n], restored[n]) for n in range(5 - LOOK_BACK, 6)]
    assert torch.equal(results[5], again[-1])


def test_tracks_do_not_mix_and_old_ones_are_forgotten():
    given = crop()
    flicker = FlickerFilter()
    flicker.smooth(0, 0, given, given + 0.1)
    alone = flicker.smooth(1, 1, given, given)
    assert float((alone - given).abs().max()) < 1e-6
    flicker.forget(9)
    late = flicker.smooth(9, 0, given, given)
    assert float((late - given).abs().max()) < 1e-6
