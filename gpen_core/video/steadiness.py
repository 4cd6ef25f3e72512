"""Smooth the places of a face over the frames of its track, without lag.

A place is the similarity that maps the crop's template to the picture, as four numbers: the
logarithm of its scale, its angle, and x and y of the middle of the landmarks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..align import TEMPLATES, fit_similarity
from .tracks import Sightings

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 6
"""Frames on either side that a place is smoothed over."""
ORDER = 2
"""Degree of the polynomial: 2 follows a face that speeds up or turns around."""


def find_places(landmarks: NDArray[np.float64], template: str) -> NDArray[np.float64]:
    """Return the places [N, 4] of faces: log scale, angle in radians, x and y.

    Args:
        landmarks: [N, 5, 2] in pixels.
        template: "gpen" or "ffhq".
    """
    points = torch.tensor(TEMPLATES[template], dtype=torch.float64)
    affine, _ = fit_similarity(torch.from_numpy(landmarks.astype(np.float64)), points)
    factor = torch.complex(affine[:, 0, 0], affine[:, 1, 0])
    # The fit maps the picture to the crop; its inverse has the opposite angle and scale.
    middle = points.mean(dim=0)
    square = torch.linalg.inv(affine[:, :, :2])
    centre = (square @ (middle[:, None] - affine[:, :, 2:]))[:, :, 0]
    places = torch.stack([-factor.abs().log(), -factor.angle(), centre[:, 0], centre[:, 1]], dim=1)
    return places.numpy()


def make_landmarks(places: NDArray[np.float64], template: str) -> NDArray[np.float64]:
    """Return the landmarks [N, 5, 2] of a template at places [N, 4]."""
    points = np.asarray(TEMPLATES[template])
    points = points - points.mean(axis=0)
    scale, angle = np.exp(places[:, 0]), places[:, 1]
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    x = cosine[:, None] * points[:, 0] - sine[:, None] * points[:, 1]
    y = sine[:, None] * points[:, 0] + cosine[:, None] * points[:, 1]
    return np.stack([x, y], axis=2) + places[:, None, 2:]


def smooth_tracks(
    faces: Sightings, tracks: NDArray[np.int64], template: str, *, reach: int = REACH
) -> tuple[Sightings, NDArray[np.int64]]:
    """Fill the gaps of tracks, and smooth the places of their faces.

    Args:
        faces: the faces of a film.
        tracks: [N] the track of each.
        template: "gpen" or "ffhq".
        reach: frames on either side to smooth over; 0 only fills gaps.

    Returns:
        The faces of all frames, with landmarks that lie like the template, and their tracks; in
        rising order of frames, then of tracks.
    """
    if not len(faces):
        return faces, tracks
    parts, numbers = [], []
    for number in range(int(tracks.max()) + 1):
        filled = _smooth(faces[np.flatnonzero(tracks == number)], template, reach)
        parts.append(filled)
        numbers.append(np.full(len(filled), number, dtype=np.int64))
    joined = Sightings(
        np.concatenate([part.frame for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
    track = np.concatenate(numbers)
    order = np.lexsort((track, joined.frame))
    return joined[order], track[order]


def _smooth(track: Sightings, template: str, reach: int) -> Sightings:
    """Fill and smooth one track."""
    frame = np.arange(track.frame[0], track.frame[-1] + 1, dtype=np.int64)
    places = find_places(track.landmarks, template)
    places[:, 1] = np.unwrap(places[:, 1])
    sides = np.log(np.maximum(track.boxes[:, 2:] - track.boxes[:, :2], 1e-3))
    centres = (track.boxes[:, 2:] + track.boxes[:, :2]) / 2 - places[:, 2:]
    values = np.concatenate([places, sides, centres, track.scores[:, None]], axis=1)
    filled = np.stack([np.interp(frame, track.frame, column) for column in values.T], axis=1)
    if reach:
        filled = smooth(filled, reach)
    places, sides = filled[:, :4], np.exp(filled[:, 4:6]) / 2
    middle = filled[:, 6:8] + places[:, 2:]
    return Sightings(
        frame,
        np.concatenate([middle - sides, middle + sides], axis=1),
        make_landmarks(places, template),
        filled[:, 8],
    )


def smooth(values: NDArray[np.float64], reach: int, order: int = ORDER) -> NDArray[np.float64]:
    """Fit a polynomial around each row of values [N, C], and return the fits at the rows.

    This is the filter of Savitzky and Golay (1964). Near an end the polynomial is fitted to the
    rows that are there, so that a path that begins in full motion is not held back.
    """
    count = len(values)
    smoothed = np.empty_like(values)
    for row in range(count):
        before, after = min(row, reach), min(count - 1 - row, reach)
        weights = _weigh(before, after, min(order, before + after))
        smoothed[row] = weights @ values[row - before : row + after + 1]
    return smoothed


@cache
def _weigh(before: int, after: int, order: int) -> NDArray[np.float64]:
    """Return the weights of neighbouring rows in the fit of a polynomial at row `before`."""
    steps = np.arange(-before, after + 1, dtype=np.float64)
    powers = steps[:, None] ** np.arange(order + 1)
    return np.linalg.pinv(powers)[0]
