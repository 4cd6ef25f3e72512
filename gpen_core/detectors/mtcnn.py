"""MTCNN (Zhang et al., SPL 2016): facenet-pytorch's three networks in our own cascade.

facenet-pytorch's own `detect` truncates boxes to whole pixels before it cuts them, which shifts its
landmarks by half a pixel, and stretches faces at the image's border. Here every box is sampled
exactly where it lies, black outside the image as in training: landmarks need no correction.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..errors import DetectorError
from ..faces import Faces

if TYPE_CHECKING:
    from torch import nn

FACENET = "facenet-pytorch==2.5.3"
"""What to install: later releases pin old versions of PyTorch, this one pins nothing."""
CELL = 12
"""Side in pixels of what the first network sees at each position."""
STRIDE = 2
"""Distance in pixels between these positions."""
PYRAMID_STEP = 0.709
"""Ratio of sides between levels: half the area, as published."""
PROPOSE, REFINE = 0.6, 0.7
"""Scores at which the first and the second network hand a box on, as published."""
LEVEL_IOU, STAGE_IOU = 0.5, 0.7
CHUNK = 1024
"""Boxes that the second and third network judge in one forward."""


class MTCNN:
    """A `Detector` that needs no weight file: facenet-pytorch carries its own.

    Args:
        device: where to compute.

    Raises:
        DetectorError: facenet-pytorch is not installed.
    """

    name = "mtcnn"
    threshold = 0.8
    smallest = 20
    largest = 256
    short_side = 640

    def __init__(self, device: torch.device) -> None:
        try:
            import facenet_pytorch as facenet
        except ImportError as error:
            raise DetectorError(
                f'Detector "mtcnn" needs facenet-pytorch, which cannot be imported ({error}). '
                f"Install it with: pip install {FACENET}"
            ) from error
        self.device = device
        self._pnet = load_network(facenet.PNet, device)
        self._rnet = load_network(facenet.RNet, device)
        self._onet = load_network(facenet.ONet, device)

    @torch.no_grad()
    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        """Faces in pixels at this scale only; see `Detector.find`."""
        N, _, H, W = pixels.shape
        halves = halve_repeatedly(pixels.to(self.device, torch.float32))
        boxes, index = self._propose(halves, largest)
        boxes, scores, index, _ = judge(self._rnet, halves, boxes, index, 24, REFINE)
        kept = suppress(boxes, scores, index, STAGE_IOU)
        boxes, index = square(boxes[kept]), index[kept]
        # A second look, at the box that the first one drew: of 1,279 faces it misses 8 at a score
        # of 0.9 where one look misses 16, with as many false ones (at 0.8 they are on a par).
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
        """Square boxes [K, 4] that may hold a face, and their images [K], from a pyramid."""
        H, W = halves[0].shape[2:]
        found = [torch.zeros(0, 6, device=self.device, dtype=torch.float32)]
        side = float(self.smallest)
        # One level above the largest wanted: a level also answers for somewhat smaller faces.
        while side <= min(H, W) and side * PYRAMID_STEP <= largest:
            size = max(CELL, round(H * CELL / side)), max(CELL, round(W * CELL / side))
            source = halves[halving(side / CELL, halves)]
            level = F.interpolate(source, size, mode="bilinear", antialias=True)
            level = level.contiguous(memory_format=torch.channels_last)
            found.append(self._search(level, W / size[1], H / size[0]))
            side /= PYRAMID_STEP
        boxes, scores, index = torch.cat(found).split([4, 1, 1], dim=1)
        index = index[:, 0].long()
        kept = suppress(boxes, scores[:, 0], index, STAGE_IOU)
        return square(boxes[kept]), index[kept]

    def _search(self, level: torch.Tensor, step_x: float, step_y: float) -> torch.Tensor:
        """[K, 6] box, score and image of what the first network finds in one level."""
        offsets, probability = self._pnet(normalise(level))
        index, y, x = (probability[:, 1] > PROPOSE).nonzero(as_tuple=True)
        scores = probability[index, 1, y, x]
        corner = torch.stack([x, y], dim=1) * STRIDE
        steps = torch.tensor([step_x, step_y] * 2, device=level.device, dtype=level.dtype)
        boxes = torch.cat([corner, corner + CELL], dim=1) * steps
        boxes = shift(boxes, offsets[index, :, y, x])
        kept = suppress(boxes, scores, index, LEVEL_IOU)
        return torch.cat([boxes, scores[:, None], index[:, None]], dim=1)[kept]


def load_network(kind: type[nn.Module], device: torch.device) -> nn.Module:
    """One of facenet-pytorch's networks with the weights that its package carries."""
    import facenet_pytorch

    file = Path(facenet_pytorch.__file__).parent / "data" / f"{kind.__name__.lower()}.pt"
    with torch.device("cpu"):
        network = kind(pretrained=False).float()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # Channels last halves the time of the first network on a CPU.
    network = network.eval().requires_grad_(False)
    return network.to(device).to(memory_format=torch.channels_last)


def halve_repeatedly(pixels: torch.Tensor) -> list[torch.Tensor]:
    """The pixels [N, 3, H, W], their 2 × 2 means, the means of these … until a side is 1."""
    halves = [pixels]
    while min(halves[-1].shape[2:]) > 1:
        halves.append(F.avg_pool2d(halves[-1], 2, ceil_mode=True))
    return halves


def halving(factor: float, halves: list[torch.Tensor]) -> int:
    """Which of `halves` to shrink from, so that less than a factor of 2 is left."""
    return min(max(0, math.floor(math.log2(factor))), len(halves) - 1)


def cut(
    halves: list[torch.Tensor], boxes: torch.Tensor, index: torch.Tensor, side: int
) -> torch.Tensor:
    """[K, 3, side, side] what lies in square boxes [K, 4], black outside the image."""
    from torchvision.ops import roi_align

    factors = (boxes[:, 2] - boxes[:, 0]).clamp(min=1) / side
    depths = factors.log2().floor().clamp(0, len(halves) - 1).long()
    crops = boxes.new_empty(len(boxes), 3, side, side)
    for depth in depths.unique().tolist():
        rows = (depths == depth).nonzero()[:, 0]
        rois = torch.cat([index[rows, None], boxes[rows] / 2**depth], dim=1)
        # Two samples each way per output pixel: enough where less than a factor of 2 is left.
        crops[rows] = roi_align(halves[depth], rois, side, sampling_ratio=2, aligned=True)
    return crops


def judge(
    network: nn.Module,
    halves: list[torch.Tensor],
    boxes: torch.Tensor,
    index: torch.Tensor,
    side: int,
    lowest: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Let the second or third network look at square boxes [K, 4], resampled to side × side.

    Returns:
        Of the boxes that score above `lowest`: as the network corrects them [J, 4], scores [J],
        image index [J] and landmarks [J, 5, 2] (the boxes' corners for the second network, which
        gives none).
    """
    # The networks cannot take an empty batch.
    found = [[boxes[:0], boxes.new_zeros(0), index[:0], boxes.new_zeros(0, 5, 2)]]
    for start in range(0, len(boxes), CHUNK):
        squares, images = boxes[start : start + CHUNK], index[start : start + CHUNK]
        offsets, *points, probability = network(normalise(cut(halves, squares, images, side)))
        points = points[0] if points else offsets.new_zeros(len(squares), 10)
        sides = (squares[:, 2:] - squares[:, :2])[:, None]
        # Five x, then five y, in units of the square.
        landmarks = squares[:, None, :2] + points.view(-1, 2, 5).transpose(1, 2) * sides
        scores = probability[:, 1]
        passed = scores > lowest
        shifted = shift(squares, offsets)
        found.append([part[passed] for part in (shifted, scores, images, landmarks)])
    corrected, scores, images, landmarks = (torch.cat(parts) for parts in zip(*found, strict=True))
    return corrected, scores, images, landmarks


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """[0, 1] to what the networks were trained on: (0 … 255 − 127.5) / 128."""
    return pixels * (255 / 128) - 127.5 / 128


def shift(boxes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """[K, 4] boxes whose corners moved by offsets [K, 4] in units of the box."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * sides.repeat(1, 2)


def square(boxes: torch.Tensor) -> torch.Tensor:
    """[K, 4] boxes about the same centres, both sides as long as the longer."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, index: torch.Tensor, iou: float
) -> torch.Tensor:
    """Rows left by greedy non-maximum suppression within each image, best first."""
    from torchvision.ops import batched_nms

    return batched_nms(boxes, scores, index, iou)
