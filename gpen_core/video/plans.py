"""The plan of a film: the times of its frames, its cuts and the places of its faces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import ImageError
from ..faces import Faces
from .cuts import find_cuts
from .finding import Found
from .steadiness import REACH, smooth_tracks
from .tracks import Sightings, find_tracks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """What is done in each frame of a film.

    Attributes:
        times: when each frame is shown, in units of the film.
        cuts: the frames that begin a scene, without 0.
        faces: the faces of all frames, with smoothed places.
        tracks: [N] the track of each face.
        found: how many of them were found; the others fill gaps.
    """

    times: list[int]
    cuts: list[int]
    faces: Sightings
    tracks: NDArray[np.int64]
    found: int

    def at(self, number: int, image_size: tuple[int, int]) -> tuple[Faces, list[int]]:
        """Return the faces of a frame (height, width), and their tracks."""
        first, last = np.searchsorted(self.faces.frame, [number, number + 1])
        rows = self.faces[np.arange(first, last)]
        count = len(rows)
        faces = Faces(
            torch.from_numpy(rows.boxes).float(),
            torch.from_numpy(rows.landmarks).float(),
            torch.from_numpy(rows.scores.clip(0, 1)).float(),
            torch.zeros(count, dtype=torch.int64),
            (1, *image_size),
        )
        return faces, self.tracks[first:last].tolist()

    def scene_of(self, number: int) -> int:
        """Return the number of the scene that a frame belongs to, from 0."""
        return int(np.searchsorted(self.cuts, number, side="right"))

    @property
    def track_count(self) -> int:
        """How many tracks there are."""
        return len(np.unique(self.tracks))


def make_plan(records: Sequence[Found], template: str, *, steady: bool) -> Plan:
    """Join the faces of all frames into tracks, and smooth their places.

    Args:
        records: one for each frame, in order.
        template: the template of the model.
        steady: smooth; else gaps are filled only.
    """
    rows = [(record.number, face) for record in records for face in record.faces]
    values = np.array([face for _, face in rows], dtype=np.float64).reshape(-1, 15)
    faces = Sightings(
        np.array([number for number, _ in rows], dtype=np.int64),
        values[:, :4],
        values[:, 4:14].reshape(-1, 5, 2),
        values[:, 14],
    )
    cuts = find_cuts([record.likeness for record in records])
    tracks = find_tracks(faces, cuts)
    smoothed, numbers = smooth_tracks(faces, tracks, template, reach=REACH if steady else 0)
    return Plan([record.time for record in records], cuts, smoothed, numbers, len(faces))


class TrackFile:
    """The records of a film's frames, written line by line while they are found.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[list[Found], dict | None]:
        """Return the complete records, and the last line's report if all frames were found.

        A line that a killed process left unfinished is cut off.
        """
        records: list[Found] = []
        if not self._path.exists():
            return records, None
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                value = self._parse(line)
                whole += len(line)
                if isinstance(value, dict):
                    return records, value
                records.append(Found(*value))
        with self._path.open("rb+") as file:
            file.truncate(whole)
        return records, None

    def _parse(self, line: bytes) -> list | dict:
        try:
            return json.loads(line)
        except ValueError as error:
            raise ImageError(f"{self._path} is damaged. Start again with --restart.") from error

    def append(self, record: Found) -> None:
        """Add one record."""
        self._write(list(record))

    def finish(self, report: dict) -> None:
        """Add the last line."""
        self._write(report)

    def _write(self, value: object) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, separators=(",", ":")) + "\n")
