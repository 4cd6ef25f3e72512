"""Search an image at several scales and in tiles, and merge what is found.

A detector breaks a face into several boxes if the face is larger than those of its training, and
misses a face that is too small. So the image is searched more than once: at a coarse scale,
which shows a face that fills the image in one piece, then at finer scales up to full resolution,
which shows the smallest faces. From each pass it accepts a range of sizes, in pixels of that pass.
The ranges overlap, so a face at the end of one range lies well inside the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..devices import full_precision
from ..faces import Faces
from .interrupts import check_interrupt
from .merging import clip, join, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .protocol import Detector

PASS_RATIO = 6.0
"""The largest ratio between neighbouring scales. The sizes that a detector finds reliably span a
factor of 10 or more, so each face is well inside the range of at least one pass."""
MIN_PASS_RATIO = 1.2
"""Two scales with a smaller ratio become one pass."""
TILE_PIXELS = 4 * 2**20
"""Pixels per forward pass. This bounds memory: a process that searches 48 megapixels with ResNet-50
peaks at 2.1 GiB, 0.5 GiB of it for the image."""
RELIABLE = 1.5
"""A detector misses half of the faces of its smallest size, and few that are this many times as
large."""
MOST_ENLARGED = 4
"""The largest factor by which a pass enlarges an image."""
ENLARGE_REACH = 3
"""Pixels of the image that an enlarged tile reads beyond its border."""
TILE_SIDE = 2048
"""Side of a tile if both sides of the image are longer; TILE_SIDE² = TILE_PIXELS."""


@dataclass(frozen=True)
class Pass:
    """One search of the whole batch at one scale. All sizes are in pixels of this scale.

    Attributes:
        height, width: the size of the images.
        smallest, largest: the sides of the smallest and largest face to accept.
        reach: side of the largest face that must be complete in some tile.
    """

    height: int
    width: int
    smallest: float
    largest: float
    reach: int

    @property
    def rows(self) -> list[tuple[int, int]]:
        """First row and height of each row of tiles."""
        return split(self.height, TILE_PIXELS // min(self.width, TILE_SIDE), self.overlap)

    @property
    def columns(self) -> list[tuple[int, int]]:
        """First column and width of each column of tiles."""
        return split(self.width, TILE_PIXELS // min(self.height, TILE_SIDE), self.overlap)

    def enlarges(self, height: int) -> bool:
        """Return whether this pass enlarges images of `height`."""
        return self.height > height

    @property
    def overlap(self) -> int:
        return self.reach * 3 // 2

    @property
    def batch(self) -> int:
        """Images in one forward pass."""
        return max(1, TILE_PIXELS // (self.rows[0][1] * self.columns[0][1]))

    def count_forwards(self, images: int) -> int:
        """Count the forward passes that a batch of `images` takes."""
        return math.ceil(images / self.batch) * len(self.rows) * len(self.columns)


def search_scales(
    detector: Detector,
    image: torch.Tensor,
    passes: Sequence[Pass],
    threshold: float,
    on_forward: Callable[[], None],
) -> Faces:
    """Run all passes over a batch and merge their faces, boxes clipped to the image.

    Args:
        detector: what searches.
        image: [B, 3, H, W] RGB in [0, 1], for which `passes` were planned.
        passes: from coarse to fine.
        threshold: the lowest score to keep.
        on_forward: called after every forward pass.
    """
    B, _, H, W = image.shape
    size = (B, H, W)
    levels = []
    for searched in passes:
        found = []
        for faces in search(detector, image, searched, threshold):
            found.append(faces)
            on_forward()
        levels.append(join(found, size))
    merged = [merge([level[level.image_index == n] for level in levels], size) for n in range(B)]
    return clip(join(merged, size))


def count_forwards(passes: Sequence[Pass], images: int) -> int:
    """Count the forward passes that `search_scales` takes for a batch of `images`."""
    return sum(searched.count_forwards(images) for searched in passes)


def plan_passes(
    detector: Detector, height: float, width: float, min_size: float, min_face: float = 0
) -> list[Pass]:
    """Choose the scales to search, from coarse to fine.

    Args:
        detector: what searches; its sizes decide.
        height, width: the size of the images.
        min_size: the shorter side in pixels of the smallest box to keep.
        min_face: side in pixels of the smallest face to look for. If the detector does not find it
            reliably at full resolution, the finest scale is an enlargement by a whole number.
    """
    short = min(height, width)
    # The factor 2 is a margin: the sizes of faces are known only after the search.
    finest = min(1.0, 2 * detector.smallest / max(min_size, 1e-9))
    coarsest = min(finest, detector.short_side / short)
    if finest / coarsest < MIN_PASS_RATIO:
        coarsest = finest
    steps = math.ceil(math.log(finest / coarsest, PASS_RATIO))
    scales = [coarsest * (finest / coarsest) ** (step / max(steps, 1)) for step in range(steps + 1)]
    enlargement = choose_enlargement(detector, max(min_size, min_face)) if min_face else 1
    if enlargement > 1:
        scales.append(enlargement)
    passes = []
    for step, scale in enumerate(scales):
        first, last = step == 0, step == len(scales) - 1
        passes.append(
            Pass(
                height=max(1, round(height * scale)),
                width=max(1, round(width * scale)),
                smallest=0 if last else detector.smallest,
                largest=math.inf if first else detector.largest,
                reach=detector.short_side if first else detector.largest,
            )
        )
    return passes


def choose_enlargement(detector: Detector, smallest: float) -> int:
    """Choose how many times an image is enlarged so that faces of `smallest` pixels are found."""
    return min(MOST_ENLARGED, math.ceil(RELIABLE * detector.smallest / smallest))


def search(
    detector: Detector, image: torch.Tensor, searched: Pass, threshold: float
) -> Iterator[Faces]:
    """Yield the faces of each forward pass at one scale, in pixels of the image."""
    B, _, H, W = image.shape
    scale = torch.tensor(
        [W / searched.width, H / searched.height], dtype=torch.float32, device="cpu"
    )
    for first in range(0, B, searched.batch):
        pixels = image[first : first + searched.batch]
        if not searched.enlarges(H):
            pixels = shrink(pixels, searched.height, searched.width)
        for top, height in searched.rows:
            for left, width in searched.columns:
                check_interrupt()
                if searched.enlarges(H):
                    tile = enlarge(pixels, searched.height // H, top, left, height, width)
                else:
                    tile = pixels[:, :, top : top + height, left : left + width]
                # In half precision, landmarks would move by a pixel.
                with full_precision(detector.device):
                    faces = detector.find(tile, threshold=threshold, largest=searched.largest)
                faces = faces[is_accepted(faces, searched, top, left)]
                corner = torch.tensor([left, top], device="cpu")
                yield Faces(
                    (faces.boxes.view(-1, 2, 2) + corner).mul(scale).view(-1, 4),
                    (faces.landmarks + corner) * scale,
                    faces.scores,
                    faces.image_index + first,
                    (B, H, W),
                )


def is_accepted(faces: Faces, searched: Pass, top: int, left: int) -> torch.Tensor:
    """Test whether the faces of a tile have a size for this pass and a safe distance to its border.

    The border of the image does not count: only an inner border of the tile cuts faces.

    Returns:
        [N] bool.
    """
    side = (faces.widths * faces.heights).clamp(min=0).sqrt()
    accepted = (side >= searched.smallest) & (side <= searched.largest)
    x, y = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2).unbind(dim=1)
    _, height, width = faces.image_size
    # A face nearer to an inner border than this is complete in the next tile.
    near = searched.reach / 2
    if left > 0:
        accepted &= x >= near
    if top > 0:
        accepted &= y >= near
    if left + width < searched.width:
        accepted &= x <= width - near
    if top + height < searched.height:
        accepted &= y <= height - near
    return accepted


def shrink(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize pixels [N, 3, H, W] with a low-pass; return the input itself if the size is equal."""
    if pixels.shape[2:] == (height, width):
        return pixels
    return F.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)


def enlarge(
    pixels: torch.Tensor, factor: int, top: int, left: int, height: int, width: int
) -> torch.Tensor:
    """Return a tile of pixels [N, 3, H, W] enlarged by a whole factor; the rest is not computed."""
    first_row, first_column = (max(0, start // factor - ENLARGE_REACH) for start in (top, left))
    source = pixels[
        :,
        :,
        first_row : -(-(top + height) // factor) + ENLARGE_REACH,
        first_column : -(-(left + width) // factor) + ENLARGE_REACH,
    ].float()
    large = F.interpolate(source, scale_factor=factor, mode="bicubic")
    y, x = top - first_row * factor, left - first_column * factor
    return large[:, :, y : y + height, x : x + width].clamp(0, 1)


def split(length: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """Split `length` pixels into tiles of equal length, no longer than `longest`.

    Tiles begin at multiples of 32, the coarsest stride. So the network's cells lie on the same
    pixels as in the whole image.

    Args:
        length: pixels to cover.
        longest: the largest length of a tile.
        overlap: pixels that neighbouring tiles share, at most half of `longest`.

    Returns:
        (start, length) of each tile; the last one may be shorter.
    """
    if length <= longest:
        return [(0, length)]
    overlap = min(overlap, longest // 2)
    count = math.ceil((length - overlap) / (longest - overlap - 32))
    step = math.ceil((length - overlap) / count / 32) * 32
    starts = range(0, length - overlap, step)
    return [(start, min(step + overlap, length - start)) for start in starts]
