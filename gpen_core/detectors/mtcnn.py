"""MTCNN (Zhang et al., SPL 2016), a cascade of three networks.

`detect` of facenet-pytorch truncates boxes to whole pixels before it cuts them, which shifts its
landmarks by half a pixel. It also stretches faces at the image's border. This cascade samples each
box at its exact position, with black outside the image as in training. So the landmarks need no
correction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..faces import Faces
from .mtcnn_networks import OutputNet, ProposalNet, RefinementNet, load_network
from .vision_ops import roi_align, suppress

if TYPE_CHECKING:
    from torch import nn

CELL = 12
"""Side in pixels of the first network's receptive field."""
STRIDE = 2
"""Stride in pixels of the first network."""
PYRAMID_STEP = 0.709
"""Ratio of the sides of neighbouring pyramid levels: half the area, as published."""
PROPOSE, REFINE = 0.6, 0.7
"""Lowest scores of boxes that pass the first and the second network, as published."""
LEVEL_IOU, STAGE_IOU = 0.5, 0.7
"""Intersection over union above which a box is suppressed: LEVEL_IOU within a pyramid level and in
the result, STAGE_IOU between the networks."""
CHUNK = 1024
"""Boxes in one forward pass of the second or third network."""


class MTCNN:
    """A `Detector` that needs no weight file: facenet-pytorch contains its weights.

    Args:
        device: the device on which to run.

    Raises:
        DetectorError: facenet-pytorch is not installed.
    """

    name = "mtcnn"
    threshold = 0.8
    smallest = 20
    largest = 256
    short_side = 640

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pnet = load_network(ProposalNet, device)
        self._rnet = load_network(RefinementNet, device)
        self._onet = load_network(OutputNet, device)

    @torch.no_grad()
    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        """Find faces at the scale of the pixels only; see `Detector.find`."""
        N, _, H, W = pixels.shape
        halves = halve_repeatedly(pixels.to(self.device, torch.float32))
        boxes, index = self._propose(halves, largest)
        boxes, scores, index, _ = judge(self._rnet, halves, boxes, index, 24, REFINE)
        kept = suppress(boxes, scores, index, STAGE_IOU)
        boxes, index = square(boxes[kept]), index[kept]
        # The third network runs twice, the second time on the boxes that it corrected. At a score
        # of 0.9 it then misses 8 of 1,279 faces; after one run it misses 16, with as many false
        # faces. At a score of 0.8 both are equal.
        lowest = min(REFINE, threshold) / 2
        boxes, scores, index, _ = judge(self._onet, halves, boxes, index, 48, lowest)
        kept = suppress(boxes, scores, index, STAGE_IOU)
        boxes, index = square(boxes[kept]), index[kept]
        boxes, scores, index, points = judge(self._onet, halves, boxes, index, 48, threshold)
        kept = suppress(boxes, scores, index, LEVEL_IOU)
        return Faces(boxes[kept], points[kept], scores[kept], index[kept], (N, H, W))

    def _propose(
        self, halves: list[torch.Tensor], largest: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Propose square boxes [K, 4] that may hold a face, and their image index [K]."""
        H, W = halves[0].shape[2:]
        found = [torch.zeros(0, 6, device=self.device, dtype=torch.float32)]
        side = float(self.smallest)
        # Search one level above `largest`: a level also finds faces that are slightly smaller.
        while side <= min(H, W) and side * PYRAMID_STEP <= largest:
            size = max(CELL, round(H * CELL / side)), max(CELL, round(W * CELL / side))
            source = halves[choose_half(side / CELL, halves)]
            level = F.interpolate(source, size, mode="bilinear", antialias=True)
            level = level.contiguous(memory_format=torch.channels_last)
            found.append(self._search(level, W / size[1], H / size[0]))
            side /= PYRAMID_STEP
        boxes, scores, index = torch.cat(found).split([4, 1, 1], dim=1)
        index = index[:, 0].long()
        kept = suppress(boxes, scores[:, 0], index, STAGE_IOU)
        return square(boxes[kept]), index[kept]

    def _search(self, level: torch.Tensor, step_x: float, step_y: float) -> torch.Tensor:
        """Run the first network on one level; return box, score and image index [K, 6]."""
        offsets, probability = self._pnet(normalise(level))
        index, y, x = (probability[:, 1] > PROPOSE).nonzero(as_tuple=True)
        scores = probability[index, 1, y, x]
        corner = torch.stack([x, y], dim=1) * STRIDE
        steps = torch.tensor([step_x, step_y] * 2, device=level.device, dtype=level.dtype)
        boxes = torch.cat([corner, corner + CELL], dim=1) * steps
        boxes = shift(boxes, offsets[index, :, y, x])
        kept = suppress(boxes, scores, index, LEVEL_IOU)
        return torch.cat([boxes, scores[:, None], index[:, None]], dim=1)[kept]


def halve_repeatedly(pixels: torch.Tensor) -> list[torch.Tensor]:
    """Return the pixels [N, 3, H, W], their 2 × 2 means, the means of those … to a side of 1."""
    halves = [pixels]
    while min(halves[-1].shape[2:]) > 1:
        halves.append(F.avg_pool2d(halves[-1], 2, ceil_mode=True))
    return halves


def choose_half(factor: float, halves: list[torch.Tensor]) -> int:
    """Choose the index in `halves` from which less than a factor of 2 remains to shrink."""
    return min(max(0, math.floor(math.log2(factor))), len(halves) - 1)


def cut(
    halves: list[torch.Tensor], boxes: torch.Tensor, index: torch.Tensor, side: int
) -> torch.Tensor:
    """Cut square boxes [K, 4] as [K, 3, side, side], with black outside the image."""
    factors = (boxes[:, 2] - boxes[:, 0]).clamp(min=1) / side
    depths = factors.log2().floor().clamp(0, len(halves) - 1).long()
    crops = boxes.new_empty(len(boxes), 3, side, side)
    for depth in depths.unique().tolist():
        rows = (depths == depth).nonzero()[:, 0]
        rois = torch.cat([index[rows, None], boxes[rows] / 2**depth], dim=1)
        # Less than a factor of 2 remains, so 2 × 2 samples per output pixel are enough.
        crops[rows] = roi_align(halves[depth], rois, side, sampling_ratio=2)
    return crops


def judge(
    network: nn.Module,
    halves: list[torch.Tensor],
    boxes: torch.Tensor,
    index: torch.Tensor,
    side: int,
    lowest: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run the second or third network on square boxes [K, 4], resampled to side × side.

    Returns:
        The boxes with a score above `lowest`: corrected boxes [J, 4], scores [J], image index [J]
        and landmarks [J, 5, 2]. The second network has no landmarks; it returns the top left
        corner of the box five times.
    """
    # Start with an empty result, because the networks cannot take an empty batch.
    found = [[boxes[:0], boxes.new_zeros(0), index[:0], boxes.new_zeros(0, 5, 2)]]
    for start in range(0, len(boxes), CHUNK):
        squares, images = boxes[start : start + CHUNK], index[start : start + CHUNK]
        offsets, *points, probability = network(normalise(cut(halves, squares, images, side)))
        points = points[0] if points else offsets.new_zeros(len(squares), 10)
        sides = (squares[:, 2:] - squares[:, :2])[:, None]
        # The network returns five x, then five y, in units of the square.
        landmarks = squares[:, None, :2] + points.view(-1, 2, 5).transpose(1, 2) * sides
        scores = probability[:, 1]
        passed = scores > lowest
        shifted = shift(squares, offsets)
        found.append([part[passed] for part in (shifted, scores, images, landmarks)])
    corrected, scores, images, landmarks = (torch.cat(parts) for parts in zip(*found, strict=True))
    return corrected, scores, images, landmarks


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Map [0, 1] to the input range of the networks: (0 … 255 − 127.5) / 128."""
    return pixels * (255 / 128) - 127.5 / 128


def shift(boxes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Move the corners of boxes [K, 4] by offsets [K, 4] in units of the box."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * sides.repeat(1, 2)


def square(boxes: torch.Tensor) -> torch.Tensor:
    """Make boxes [K, 4] square: same centre, both sides as long as the longer one."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)
