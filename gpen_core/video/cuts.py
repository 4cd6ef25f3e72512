"""Find the cuts of a film: where one frame shows another scene than the frame before.

Small grey copies of frames are compared by their correlation, which neither brightness nor contrast
changes. The middle of one frame is searched in the other, so that a pan is no cut. A flash is none
either: the scene after it is the one before. Where a scene fades to black and another comes up, the
cut is the first frame of the other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 36
"""Size of the grey copies."""
FLASH = 4
"""A disturbance of so many frames, less one, is a flash: frames are compared over this distance."""
ALIKE = 0.5
"""Least correlation of two frames of one scene."""
_FLAT = 3.0
"""Standard deviation, in levels of 255, below which a frame shows nothing to compare."""
_PARTS = 2
"""The middle that is searched has 1 / _PARTS of the width and height."""


class CutFinder:
    """Compares each frame of a film with those before it.

    Frames that show nothing (black, white) are skipped: the next one is compared with the last that
    showed something.
    """

    def __init__(self) -> None:
        self._before: deque[NDArray[np.float32] | None] = deque(maxlen=FLASH)

    def compare(self, luma: NDArray) -> list[float]:
        """Take the next frame; return its likeness to each of the last `FLASH` frames.

        Args:
            luma: [H, W] its luma, of any depth.

        Returns:
            Correlations from −1 to 1, the nearest frame first; 1 where one of both shows nothing.
        """
        small = make_thumbnail(luma)
        shown = None if small.std() < _FLAT else small
        earlier = list(reversed(self._before))
        likeness = [
            1.0 if shown is None or other is None else correlate(shown, other) for other in earlier
        ]
        # Of frames before the first, the nearest counts as alike, so that no scene ends there.
        likeness += [1.0] * (not likeness)
        likeness += [-1.0] * (FLASH - len(likeness))
        # A frame that shows nothing is remembered as the last one that did.
        last = self._before[-1] if self._before else None
        self._before.append(last if shown is None else shown)
        return likeness


def make_thumbnail(luma: NDArray) -> NDArray[np.float32]:
    """Reduce luma [H, W] of any depth to a small picture with levels of 0 … 255."""
    depth = 255.0 if luma.dtype == np.uint8 else 1023.0
    small = cv2.resize(luma, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) * np.float32(255 / depth)


def correlate(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the best correlation of either picture's middle with any place in the other."""
    return max(_search_middle(one, other), _search_middle(other, one))


def _search_middle(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    height, width = HEIGHT // _PARTS, WIDTH // _PARTS
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    middle = np.ascontiguousarray(one[top : top + height, left : left + width])
    if middle.std() < _FLAT:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    return float(cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max())


def is_suspect(likeness: Sequence[float]) -> bool:
    """Whether a frame may be the first after a cut, by `CutFinder.compare` of it alone."""
    return likeness[0] < ALIKE


def find_cuts(likeness: Sequence[Sequence[float]]) -> list[int]:
    """Return the numbers of the frames that begin a scene, without 0.

    A suspect frame is one unless it is like one of the frames before it, or a frame soon after it
    is like the last one before it: then the frames between are a flash.

    Args:
        likeness: what `CutFinder.compare` gave for each frame.
    """
    return [number for number in range(1, len(likeness)) if _is_cut(likeness, number)]


def _is_cut(likeness: Sequence[Sequence[float]], number: int) -> bool:
    if not is_suspect(likeness[number]) or max(likeness[number][1:]) >= ALIKE:
        return False  # it goes on, or comes back after a flash
    steps = range(1, min(FLASH, len(likeness) - number))
    # Frame `number + step` compared with frame `number - 1`.
    return all(likeness[number + step][step] < ALIKE for step in steps)
