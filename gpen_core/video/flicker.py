"""Take the flicker out of restored faces: what a network paints anew differs from frame to frame.

A network's change to a crop (restored − given) is averaged with those of the frames before, each
brought over by optical flow between the given crops. Where the flow does not hold, because lips or
lids move or light changes, a frame keeps its own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch

from ..warp import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOK_BACK = 2
"""How many frames before it a frame is averaged with. The difference of neighbouring averages of
three is a third of that of single frames."""
_TOLERANCE = 6.0
"""Levels of 255 by which two given crops may differ, smoothed, before a frame keeps its own."""
_SMOOTHING = 1 / 32
"""Standard deviation of that smoothing, in sides of the crop: it leaves noise out."""


class _Change(NamedTuple):
    """What the network changed in a crop.

    Attributes:
        number: of the frame.
        grey: [S, S] uint8, the given crop.
        change: [O, O, 3] float32, restored − given, at the size of the restored crop.
    """

    number: int
    grey: NDArray[np.uint8]
    change: NDArray[np.float32]


class FlickerFilter:
    """Averages the changes of each track over the last frames.

    A result depends on this frame and the `LOOK_BACK` frames before it only: single changes are
    kept, not averages.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, deque[_Change]] = {}
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def smooth(
        self, number: int, track: int, given: torch.Tensor, restored: torch.Tensor
    ) -> torch.Tensor:
        """Return the restored crop of a track's next frame, steadier.

        Args:
            number: the number of the frame; higher than before.
            track: the track of the face.
            given: [1, 3, S, S] the crop in [0, 1].
            restored: [1, 3, O, O] what the network made of it.

        Returns:
            [1, 3, O, O] on the device of `restored`.
        """
        size = restored.shape[-1]
        base = resize(given.float(), size, size)
        change = (restored.float() - base)[0].permute(1, 2, 0).cpu().numpy()
        grey = (given[0].float().mean(dim=0).clamp(0, 1) * 255).round().byte().cpu().numpy()
        earlier = self._tracks.setdefault(track, deque(maxlen=LOOK_BACK))
        now = _Change(number, grey, np.ascontiguousarray(change))
        total, weights = now.change.copy(), np.ones(change.shape[:2], np.float32)
        for before in earlier:
            if number - before.number <= LOOK_BACK:
                moved, weight = self._bring(before, now)
                total += moved * weight[..., None]
                weights += weight
        earlier.append(now)
        mean = torch.from_numpy(total / weights[..., None]).permute(2, 0, 1)[None]
        return (base + mean.to(base)).clamp(0, 1).to(restored.dtype)

    def forget(self, number: int) -> None:
        """Drop the tracks that no frame from `number` on is averaged with."""
        self._tracks = {
            track: changes
            for track, changes in self._tracks.items()
            if number - changes[-1].number <= LOOK_BACK
        }

    def _bring(self, before: _Change, now: _Change) -> tuple[np.ndarray, np.ndarray]:
        """Return the change of an earlier frame at the places of this one, and how far to trust it.

        Returns:
            The change [O, O, 3], and weights [O, O] from 0 to 1.
        """
        side, size = now.grey.shape[0], now.change.shape[0]
        flow: np.ndarray = self._flow.calc(now.grey, before.grey, None)  # type: ignore[call-overload]
        grid = np.mgrid[0:side, 0:side].astype(np.float32)
        moved = cv2.remap(
            before.grey, grid[1] + flow[..., 0], grid[0] + flow[..., 1],
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        apart = now.grey.astype(np.float32) - moved.astype(np.float32)
        apart = cv2.GaussianBlur(apart, (0, 0), max(0.8, _SMOOTHING * side))
        weight: np.ndarray = np.exp(-((apart / _TOLERANCE) ** 2)).astype(np.float32)
        scale = size / side
        if size != side:
            flow = cv2.resize(flow, (size, size)) * scale
            weight = cv2.resize(weight, (size, size))
            grid = np.mgrid[0:size, 0:size].astype(np.float32)
        change = cv2.remap(
            before.change, grid[1] + flow[..., 0], grid[0] + flow[..., 1],
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return change, weight
