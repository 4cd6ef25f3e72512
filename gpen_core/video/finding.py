"""Find the faces of a film's frames: searched every few frames, and followed between."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..align import alignable
from ..detectors import detect, refine_landmarks
from ..detectors.merging import join
from ..detectors.scales import shrink
from ..faces import Faces
from ..warp import Rectangle
from .cuts import CutFinder, is_suspect
from .layouts import view_planes
from .tracks import GAP, overlap_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..detectors import Detector
    from .colours import Colours
    from .reading import Numbered

_MARGIN = 0.6
"""How far around its last place a face is looked for, in sides of its box."""
_FOLLOWED_SIDE = 128
"""A larger face is followed in a reduced picture, in which its box has this side, in pixels."""
_SAME = 0.4
"""Least overlap of a followed face with one that a search found, if they are one."""


class Found(NamedTuple):
    """The record of one frame, as it stands in the track file.

    Attributes:
        number, time: of the frame.
        likeness: see `CutFinder.compare`.
        faces: for each face its box, landmarks and score: 4 + 10 + 1 numbers.
    """

    number: int
    time: int
    likeness: list[float]
    faces: list[list[float]]


class _Followed:
    """A face that is looked for near its last place."""

    def __init__(self, box: NDArray[np.float64]) -> None:
        self.box = box
        self.missed = 0


class Finder:
    """Finds the faces of one frame after the other.

    Args:
        detector: searches the frames.
        colours: how the frames code RGB.
        size: width and height of the frames.
        every: frames from one search to the next.
        threshold, min_size: see `detect`.
        template: faces that it does not fit are left out.
    """

    def __init__(
        self,
        detector: Detector,
        colours: Colours,
        size: tuple[int, int],
        *,
        every: int,
        threshold: float | None,
        min_size: float,
        template: str,
    ) -> None:
        self._detector, self._colours = detector, colours
        self._width, self._height = size
        self._every, self._threshold, self._min_size = every, threshold, min_size
        self._template = template
        self._cuts = CutFinder()
        self._followed: list[_Followed] = []
        self._begun = False

    def find(self, numbered: Numbered) -> Found:
        """Return the record of the next frame."""
        planes = view_planes(numbered.frame, self._colours.layout)
        likeness = self._cuts.compare(planes[0])
        if is_suspect(likeness):
            self._followed.clear()
        is_first = not self._begun
        self._begun = True
        if numbered.number % self._every == 0 or is_suspect(likeness) or is_first:
            faces = self._search(planes)
        else:
            faces = self._follow(planes)
        faces = faces[alignable(faces, template=self._template)]
        record = Found(
            numbered.number,
            numbered.time,
            [round(value, 4) for value in likeness],
            list_faces(faces),
        )
        self._remember(record)
        return record

    def skip(self, numbered: Numbered) -> Found:
        """Return the record of a frame before the part of the film that is wanted."""
        planes = view_planes(numbered.frame, self._colours.layout)
        likeness = self._cuts.compare(planes[0])
        return Found(numbered.number, numbered.time, [round(value, 4) for value in likeness], [])

    def repeat(self, record: Found, frame: Numbered | None = None) -> None:
        """Take a frame that was found before, to go on after it.

        Args:
            record: its record.
            frame: the frame itself, needed for the last few before the next one.
        """
        if frame is not None:
            self._cuts.compare(view_planes(frame.frame, self._colours.layout)[0])
        self._begun = True
        if is_suspect(record.likeness):
            self._followed.clear()
        self._remember(record)

    def _search(self, planes: Sequence[np.ndarray]) -> Faces:
        """Search the whole picture, and the places of faces that the search did not find."""
        whole = Rectangle(0, 0, self._width, self._height)
        image = self._colours.to_rgb(planes, whole)
        found = self._detect(image, self._min_size)
        boxes = found.boxes.double().numpy()
        known = [f for f in self._followed if all(overlap_of(f.box, b) < _SAME for b in boxes)]
        return join([found, *self._look_near(planes, known)], found.image_size)

    def _follow(self, planes: Sequence[np.ndarray]) -> Faces:
        return join(self._look_near(planes, self._followed), (1, self._height, self._width))

    def _look_near(
        self, planes: Sequence[np.ndarray], followed: Sequence[_Followed]
    ) -> list[Faces]:
        """Return the faces found near the last places of others, at most one for each."""
        found: list[Faces] = []
        for face in followed:
            near = self._look(planes, face.box)
            fits = [overlap_of(face.box, box) for box in near.boxes.double().numpy()]
            if not fits or max(fits) <= 0.1:
                continue
            best = near[[int(np.argmax(fits))]]
            box = best.boxes[0].double().numpy()
            if all(overlap_of(box, other.boxes[0].double().numpy()) < _SAME for other in found):
                found.append(best)
        return found

    def _look(self, planes: Sequence[np.ndarray], box: NDArray[np.float64]) -> Faces:
        """Detect in the surroundings of a box."""
        size = (1, self._height, self._width)
        side = float(max(box[2] - box[0], box[3] - box[1], 1))
        left, top = np.floor(box[:2] - _MARGIN * side).astype(int).tolist()
        right, bottom = np.ceil(box[2:] + _MARGIN * side).astype(int).tolist()
        region = Rectangle(
            max(0, left), max(0, top), min(self._width, right), min(self._height, bottom)
        )
        if region.width < 1 or region.height < 1:
            return Faces.empty(size)
        pixels = self._colours.to_rgb(planes, region)
        factor = min(1.0, _FOLLOWED_SIDE / side)
        height = max(1, round(region.height * factor))
        width = max(1, round(region.width * factor))
        faces = self._detect(shrink(pixels, height, width), self._min_size * factor)
        scale = torch.tensor([region.width / width, region.height / height])
        corner = torch.tensor([region.left, region.top])
        return Faces(
            (faces.boxes.view(-1, 2, 2) * scale + corner).view(-1, 4),
            faces.landmarks * scale + corner,
            faces.scores,
            faces.image_index,
            size,
        )

    def _detect(self, image: torch.Tensor, min_size: float) -> Faces:
        """Find the faces of a picture as it stands: turns chosen frame by frame would jump."""
        faces = detect(
            self._detector, image, threshold=self._threshold, min_size=min_size, turns="never"
        )
        return refine_landmarks(self._detector, image, faces)

    def _remember(self, record: Found) -> None:
        """Follow the faces of a record, and for some frames those that it lacks."""
        boxes = [np.array(face[:4]) for face in record.faces]
        lost = [
            face
            for face in self._followed
            if face.missed < GAP and all(overlap_of(face.box, box) < 0.1 for box in boxes)
        ]
        for face in lost:
            face.missed += 1
        self._followed = [*map(_Followed, boxes), *lost]


def list_faces(faces: Faces) -> list[list[float]]:
    """Return the box, landmarks and score of each face as 15 numbers."""
    rows = torch.cat([faces.boxes, faces.landmarks.flatten(1), faces.scores[:, None]], dim=1)
    return [[round(value, 4) for value in row] for row in rows.tolist()]
