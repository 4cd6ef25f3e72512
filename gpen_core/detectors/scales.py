"""`detect`: search an image at several scales and in tiles, and merge what is found.

A detector breaks a face into several boxes if the face is larger than those of its training, and
misses a face that is too small. So `detect` searches the image more than once: at a coarse scale,
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
from ..errors import DetectorError
from ..faces import Faces
from ..images import check_image
from .interrupts import check_interrupt
from .merging import check_max_faces, clip, filter_faces, join, merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..progress import OnProgress
    from .protocol import Detector

PASS_RATIO = 6.0
"""The largest ratio between neighbouring scales. The sizes that a detector finds reliably span a
factor of 10 or more, so each face is well inside the range of at least one pass."""
MIN_PASS_RATIO = 1.2
"""Two scales with a smaller ratio become one pass."""
TILE_PIXELS = 4 * 2**20
"""Pixels per forward pass. This bounds memory: a process that searches 48 megapixels with ResNet-50
peaks at 2.1 GiB, 0.5 GiB of it for the image."""
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


def detect(
    detector: Detector,
    image: torch.Tensor,
    *,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
    on_progress: OnProgress | None = None,
) -> Faces:
    """Find every face in a batch of images, each once.

    Args:
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device.
        threshold: the lowest score to keep, in [0, 1]; None means the detector's default.
        min_size: the shorter side in pixels of the smallest box to keep. A large value also saves
            time: the image is then not searched at full resolution.
        max_faces: the number of faces to keep in each image, the largest first; None keeps all.
        on_progress: called with (done, total) after every forward pass; may raise to cancel.

    Returns:
        The faces by image, and from large to small in each image. Boxes lie inside the image;
        boxes and landmarks are in its pixels, on the CPU. Without any face, the length is 0.

    Raises:
        MismatchError: `image` is not floating point [B, 3, H, W], or has another range than [0, 1].
        DetectorError: an option is outside its range.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> detector = gpen.load_detector("auto", device="cpu")
        >>> grey = torch.full((1, 3, 96, 128), 0.5)  # no face in it
        >>> faces = gpen.detect(detector, grey)
        >>> len(faces), faces.image_size
        (0, (1, 96, 128))
    """
    if image.numel() or image.ndim != 4:  # a region of 0 × 0 px holds no face
        check_image(image)
    if threshold is None:
        threshold = detector.threshold
    check_options(threshold, min_size, max_faces)
    B, _, H, W = image.shape
    size = (B, H, W)
    if image.numel() == 0:
        return Faces.empty(size)
    passes = plan_passes(detector, H, W, min_size)
    done, total = 0, sum(p.count_forwards(B) for p in passes)
    levels = []
    for searched in passes:
        found = []
        for faces in search(detector, image, searched, threshold):
            found.append(faces)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        levels.append(join(found, size))
    merged = [merge([level[level.image_index == n] for level in levels], size) for n in range(B)]
    faces = clip(join(merged, size))
    return filter_faces(faces, min_size=max(min_size, 1), max_faces=max_faces)


def check_options(threshold: float, min_size: float, max_faces: int | None) -> None:
    """Raise DetectorError if an option of `detect` is outside its range or NaN."""
    if not 0 <= threshold <= 1:
        raise DetectorError(f"threshold is a score from 0 to 1; found {threshold}.")
    if not 0 <= min_size < math.inf:
        raise DetectorError(f"min_size is a side in pixels, 0 or more; found {min_size}.")
    check_max_faces(max_faces)


def plan_passes(detector: Detector, height: int, width: int, min_size: float) -> list[Pass]:
    """Choose the scales to search, from coarse to fine."""
    short = min(height, width)
    # The factor 2 is a margin: the sizes of faces are known only after the search.
    finest = min(1.0, 2 * detector.smallest / max(min_size, 1e-9))
    coarsest = min(finest, detector.short_side / short)
    if finest / coarsest < MIN_PASS_RATIO:
        coarsest = finest
    steps = math.ceil(math.log(finest / coarsest, PASS_RATIO))
    passes = []
    for step in range(steps + 1):
        scale = coarsest * (finest / coarsest) ** (step / max(steps, 1))
        first, last = step == 0, step == steps
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


def search(
    detector: Detector, image: torch.Tensor, searched: Pass, threshold: float
) -> Iterator[Faces]:
    """Yield the faces of each forward pass at one scale, in pixels of the image."""
    B, _, H, W = image.shape
    scale = torch.tensor(
        [W / searched.width, H / searched.height], dtype=torch.float32, device="cpu"
    )
    for first in range(0, B, searched.batch):
        pixels = shrink(image[first : first + searched.batch], searched.height, searched.width)
        for top, height in searched.rows:
            for left, width in searched.columns:
                check_interrupt()
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
