"""Join the faces of a film's frames into tracks: one face of one person in one scene."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GAP = 10
"""Most frames that a track may miss. A person who turns away and back takes about as long."""
_LEAST_FIT = 0.25
"""Least likeness of a face to where its track should be, from 0 to 1."""


@dataclass(frozen=True)
class Sightings:
    """Faces of a film's frames, as they were found.

    Attributes:
        frame: [N] int64, the number of each face's frame, in rising order.
        boxes: [N, 4] float64, x0 y0 x1 y1 in pixels.
        landmarks: [N, 5, 2] float64, in pixels.
        scores: [N] float64.
    """

    frame: NDArray[np.int64]
    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: NDArray[np.integer]) -> Sightings:
        return Sightings(
            self.frame[index], self.boxes[index], self.landmarks[index], self.scores[index]
        )


class _Track:
    """A track that may still go on: its last two faces say where the next one should be."""

    def __init__(self, number: int, row: int) -> None:
        self.number = number
        self.rows = [row]

    def expect(self, faces: Sightings, frame: int) -> NDArray[np.float64]:
        """Return the landmarks [5, 2] that the track should have in a frame."""
        last = self.rows[-1]
        points = faces.landmarks[last]
        if len(self.rows) == 1:
            return points
        before = self.rows[-2]
        passed = faces.frame[last] - faces.frame[before]
        # A face that was lost for long has stopped as likely as not.
        ahead = min(frame - faces.frame[last], 3)
        speed = (points - faces.landmarks[before]).mean(axis=0) / passed
        return points + speed * ahead


def find_tracks(faces: Sightings, cuts: Sequence[int]) -> NDArray[np.int64]:
    """Return the number of each face's track, [N] from 0.

    A track goes on in the face that fits best where it should be, by the overlap of the boxes and
    the distance of the landmarks. It misses at most `GAP` frames, and ends at a cut.

    Args:
        faces: the faces of all frames.
        cuts: the frames that begin a scene.
    """
    tracks = np.full(len(faces), -1, dtype=np.int64)
    living: list[_Track] = []
    count = 0
    for rows in _group_by_frame(faces.frame):
        frame = int(faces.frame[rows[0]])
        living = [
            track for track in living if _may_reach(int(faces.frame[track.rows[-1]]), frame, cuts)
        ]
        for track, row in _match(living, faces, rows, frame):
            track.rows.append(row)
            tracks[row] = track.number
        for row in rows:
            if tracks[row] < 0:
                tracks[row] = count
                living.append(_Track(count, row))
                count += 1
    return tracks


def _group_by_frame(frame: NDArray[np.int64]) -> list[list[int]]:
    starts = [*np.flatnonzero(np.diff(frame, prepend=-1)).tolist(), len(frame)]
    return [list(range(a, b)) for a, b in pairwise(starts)]


def _may_reach(last: int, frame: int, cuts: Sequence[int]) -> bool:
    """Whether a track last seen in one frame may go on in another."""
    missed = frame - last - 1
    return missed <= GAP and bisect.bisect_right(cuts, last) == bisect.bisect_right(cuts, frame)


def _match(
    living: Sequence[_Track], faces: Sightings, rows: Sequence[int], frame: int
) -> list[tuple[_Track, int]]:
    """Pair tracks with the faces of a frame, the best fits first."""
    if not living:
        return []
    fits = []
    for place, track in enumerate(living):
        expected = track.expect(faces, frame)
        shift = (expected - faces.landmarks[track.rows[-1]]).mean(axis=0)
        box = faces.boxes[track.rows[-1]] + np.concatenate([shift, shift])
        for row in rows:
            fit = compare_faces(box, expected, faces.boxes[row], faces.landmarks[row])
            if fit >= _LEAST_FIT:
                fits.append((-fit, place, row))
    pairs: list[tuple[_Track, int]] = []
    taken_tracks: set[int] = set()
    taken_rows: set[int] = set()
    for _, place, row in sorted(fits):
        if place not in taken_tracks and row not in taken_rows:
            taken_tracks.add(place)
            taken_rows.add(row)
            pairs.append((living[place], row))
    return pairs


def compare_faces(
    box: NDArray[np.float64],
    landmarks: NDArray[np.float64],
    other_box: NDArray[np.float64],
    other_landmarks: NDArray[np.float64],
) -> float:
    """Return how likely two faces are one, 0 … 1: half by their boxes, half by their landmarks."""
    side = max(1e-6, float(np.sqrt(np.prod(np.maximum(box[2:] - box[:2], 0)))))
    distance = np.linalg.norm(landmarks - other_landmarks, axis=1).mean() / side
    return (overlap_of(box, other_box) + max(0.0, 1 - 2 * float(distance))) / 2


def overlap_of(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes [4]."""
    common = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = float(np.prod(np.maximum(common, 0)))
    areas = float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]))
    return shared / max(areas - shared, 1e-9)
