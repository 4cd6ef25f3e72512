"""Take the flicker out of restored faces: what a network paints anew differs from frame to frame.

A restored crop is averaged with those of the frames before, each brought over by optical flow
between the given crops. Where the flow does not hold, because lips or lids move or light changes, a
frame keeps its own. Restored crops are averaged, not what the network changed (restored − given):
a change also takes the noise of its own frame away, and would bring that noise into others.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import cv2
import numpy as np
import torch

LOOK_BACK = 2
"""How many frames before it a frame is averaged with. The difference of neighbouring averages of
three is a third of that of single frames."""
_TOLERANCE = 6.0
"""Levels of 255 by which two given crops may differ, smoothed, before a frame keeps its own."""
_DENOISING = 1 / 200
"""Standard deviation of the blur before the flow is searched, in sides of the crop."""
_SMOOTHING = 1 / 32
"""Standard deviation of that smoothing, in sides of the crop: it leaves noise out."""


class _Crop(NamedTuple):
    """A crop before and after the network.

    Attributes:
        number: of the frame.
        grey: [S, S] uint8, the given crop, slightly blurred: flow follows noise otherwise.
        restored: [O, O, 3] float32.
    """

    number: int
    grey: np.ndarray
    restored: np.ndarray


class FlickerFilter:
    """Averages the restored crops of each track over the last frames.

    A result depends on this frame and the `LOOK_BACK` frames before it only: single crops are kept,
    not averages.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, deque[_Crop]] = {}
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
        pixels = np.ascontiguousarray(restored[0].float().permute(1, 2, 0).cpu().numpy())
        grey = (given[0].float().mean(dim=0).clamp(0, 1) * 255).round().byte().cpu().numpy()
        grey = cv2.GaussianBlur(grey, (0, 0), max(0.8, _DENOISING * grey.shape[0]))
        earlier = self._tracks.setdefault(track, deque(maxlen=LOOK_BACK))
        now = _Crop(number, grey, pixels)
        total, weights = pixels.copy(), np.ones(pixels.shape[:2], np.float32)
        for before in earlier:
            if number - before.number <= LOOK_BACK:
                moved, weight = self._bring(before, now)
                total += moved * weight[..., None]
                weights += weight
        earlier.append(now)
        mean = torch.from_numpy(total / weights[..., None]).permute(2, 0, 1)[None]
        return mean.to(restored)

    def forget(self, number: int) -> None:
        """Drop the tracks that no frame from `number` on is averaged with."""
        self._tracks = {
            track: crops
            for track, crops in self._tracks.items()
            if number - crops[-1].number <= LOOK_BACK
        }

    def _bring(self, before: _Crop, now: _Crop) -> tuple[np.ndarray, np.ndarray]:
        """Return an earlier restored crop at the places of this one, and how far to trust it.

        Returns:
            The crop [O, O, 3], and weights [O, O] from 0 to 1.
        """
        side, size = now.grey.shape[0], now.restored.shape[0]
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
        pixels = cv2.remap(
            before.restored, grid[1] + flow[..., 0], grid[0] + flow[..., 1],
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return pixels, weight
