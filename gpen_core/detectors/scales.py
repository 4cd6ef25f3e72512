"""`detect`: a detector's passes over several scales and tiles, made one list of faces.

A network breaks a face larger than it was trained on into several boxes, and misses one that is too
small. So the image is searched more than once: coarse, where a face that fills it is still found in
one piece, up to its own resolution, where the smallest are. Each pass is trusted for a range of
sizes in its own pixels; the ranges overlap, so that a face at the edge of one lies within the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..devices import full_precision
from ..errors import DetectorError, ImageError
from ..faces import Faces
from .merging import clip, join, merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..progress import OnProgress
    from .protocol import Detector

PASS_RATIO = 6.0
"""Largest ratio between neighbouring scales. A detector's trusted sizes span a factor of 10 or
more, so that each face is well inside the range of at least one pass."""
WORTH_A_PASS = 1.2
"""Scales closer than this are one."""
TILE_PIXELS = 4 * 2**20
"""Pixels per forward. Bounds memory: a process that searches 48 megapixels peaks at 2.1 GiB with
ResNet-50, 0.5 of it the image."""
TILE_SIDE = 2048
"""Side of a tile where both sides of the image are longer; TILE_SIDE² = TILE_PIXELS."""


@dataclass(frozen=True)
class Pass:
    """One search of the whole batch at one scale.

    Attributes:
        height, width: the images' size in this pass.
        smallest, largest: sides in pixels of this pass between which its faces are trusted.
        reach: side in pixels of the largest face that one tile must hold whole.
    """

    height: int
    width: int
    smallest: float
    largest: float
    reach: int

    @property
    def rows(self) -> list[tuple[int, int]]:
        """First row and height of the tiles."""
        return spans(self.height, TILE_PIXELS // min(self.width, TILE_SIDE), self.overlap)

    @property
    def columns(self) -> list[tuple[int, int]]:
        """First column and width of the tiles."""
        return spans(self.width, TILE_PIXELS // min(self.height, TILE_SIDE), self.overlap)

    @property
    def overlap(self) -> int:
        return self.reach * 3 // 2

    @property
    def batch(self) -> int:
        """Images in one forward."""
        return max(1, TILE_PIXELS // (self.rows[0][1] * self.columns[0][1]))

    def forwards(self, images: int) -> int:
        """How many forwards a batch of so many images takes."""
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
        threshold: lowest score kept, in [0, 1]; the detector's own default if None.
        min_size: shorter side in pixels of the smallest box kept. A large one also saves time: the
            image is then not searched at its full resolution.
        max_faces: keep only so many in each image, the largest; all if None.
        on_progress: called with (done, total) after every forward; may raise to cancel.

    Returns:
        Faces with boxes inside the image, by image and then from large to small.

    Raises:
        ImageError: image is not floating point [B, 3, H, W].
        DetectorError: an option is outside its range.
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise ImageError(
            "detect takes an image [B, 3, H, W], RGB floating point in [0, 1]; found "
            f"{list(image.shape)}, {image.dtype}."
        )
    if threshold is None:
        threshold = detector.threshold
    check_options(threshold, min_size, max_faces)
    B, _, H, W = image.shape
    size = (B, H, W)
    if image.numel() == 0:
        return Faces.empty(size)
    passes = plan_passes(detector, H, W, min_size)
    done, total = 0, sum(p.forwards(B) for p in passes)
    levels = []
    for searched in passes:
        found = []
        for faces in search(detector, image, searched, threshold):
            found.append(faces)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        levels.append(join(found, size))
    chosen = []
    for n in range(B):
        faces = clip(merge([level[level.image_index == n] for level in levels], size))
        faces = faces[torch.minimum(faces.widths, faces.heights) >= max(min_size, 1)]
        chosen.append(faces[(faces.widths * faces.heights).argsort(descending=True)[:max_faces]])
    return join(chosen, size)


def check_options(threshold: float, min_size: float, max_faces: int | None) -> None:
    """Raise DetectorError for an option of `detect` outside its range, NaN included."""
    if not 0 <= threshold <= 1:
        raise DetectorError(f"threshold is a score from 0 to 1; found {threshold}.")
    if not 0 <= min_size < math.inf:
        raise DetectorError(f"min_size is a side in pixels, 0 or more; found {min_size}.")
    check_max_faces(max_faces)


def check_max_faces(max_faces: int | None) -> None:
    """Raise DetectorError unless so many faces can be kept."""
    if max_faces is not None and max_faces < 0:
        raise DetectorError(f"max_faces is 0 or more, or None for all; found {max_faces}.")


def plan_passes(detector: Detector, height: int, width: int, min_size: float) -> list[Pass]:
    """The scales to search, coarse to fine."""
    short = min(height, width)
    # Twice the smallest leaves room: sizes are known only after the search.
    finest = min(1.0, 2 * detector.smallest / max(min_size, 1e-9))
    coarsest = min(finest, detector.short_side / short)
    if finest / coarsest < WORTH_A_PASS:
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
    """Faces of one pass, a forward at a time, in pixels of the image."""
    B, _, H, W = image.shape
    scale = torch.tensor(
        [W / searched.width, H / searched.height], dtype=torch.float32, device="cpu"
    )
    for first in range(0, B, searched.batch):
        pixels = shrink(image[first : first + searched.batch], searched.height, searched.width)
        for top, height in searched.rows:
            for left, width in searched.columns:
                tile = pixels[:, :, top : top + height, left : left + width]
                # In half precision landmarks would move by a pixel.
                with full_precision(detector.device):
                    faces = detector.find(tile, threshold=threshold, largest=searched.largest)
                faces = faces[is_trusted(faces, searched, top, left)]
                corner = torch.tensor([left, top], device="cpu")
                yield Faces(
                    (faces.boxes.view(-1, 2, 2) + corner).mul(scale).view(-1, 4),
                    (faces.landmarks + corner) * scale,
                    faces.scores,
                    faces.image_index + first,
                    (B, H, W),
                )


def is_trusted(faces: Faces, searched: Pass, top: int, left: int) -> torch.Tensor:
    """[N] whether a tile's face is of a size for this pass and not cut by an inner border."""
    side = (faces.widths * faces.heights).clamp(min=0).sqrt()
    trusted = (side >= searched.smallest) & (side <= searched.largest)
    x, y = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2).unbind(dim=1)
    _, height, width = faces.image_size
    # The next tile holds whole what is nearer to an inner border than half the reach.
    near = searched.reach / 2
    if left > 0:
        trusted &= x >= near
    if top > 0:
        trusted &= y >= near
    if left + width < searched.width:
        trusted &= x <= width - near
    if top + height < searched.height:
        trusted &= y <= height - near
    return trusted


def shrink(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[N, 3, height, width], low-passed; the input itself if that is its size."""
    if pixels.shape[2:] == (height, width):
        return pixels
    return F.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)


def spans(length: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """(start, length) of equal tiles no longer than `longest` that cover `length`.

    Starts are multiples of 32, the coarsest stride, so that tiles see what the whole would.
    """
    if length <= longest:
        return [(0, length)]
    overlap = min(overlap, longest // 2)
    count = math.ceil((length - overlap) / (longest - overlap - 32))
    step = math.ceil((length - overlap) / count / 32) * 32
    starts = range(0, length - overlap, step)
    return [(start, min(step + overlap, length - start)) for start in starts]
