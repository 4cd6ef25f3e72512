"""Place the landmarks of faces more steadily: look again at upright crops and their mirror images.

The landmarks that a detector gives a face move with the face's size, place and tilt in the image.
A crop shows every face at the same size, upright and in the middle. Its mirror image has errors of
its own, and those of opposite sign cancel in the mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..devices import full_precision
from ..errors import DetectorError, MismatchError
from ..images import check_shape, format_batch
from ..names import REFINE
from ..templates import TEMPLATES, fit_similarity
from ..warp import cut_crops
from .interrupts import check_interrupt

if TYPE_CHECKING:
    from ..faces import Faces
    from ..progress import OnProgress
    from .protocol import Detector

MIRRORED = (1, 0, 2, 4, 3)
"""The order of the landmarks in a mirror image."""
REFINED_FROM = 512
"""Crop side in pixels from which "auto" refines. It would take as long as a smaller network."""
SIDE = 128
"""Side in pixels of a crop."""
CHUNK = 16
"""Faces that are looked at together."""
LEAST_LIKENESS = 0.5
"""Least correlation of landmarks with the template, as `align` asks for. The rest is no face."""
LEAST_SCORE = 0.3
"""Lowest score of a face in a crop. There is one, so a low score will do."""
FARTHEST = 0.1
"""Largest mean distance from the landmarks before, in crop sides: half an eye distance."""


def chooses_refining(refine: str, size: int) -> bool:
    """Return whether the landmarks of faces for crops of `size` pixels are refined.

    Raises:
        DetectorError: `refine` is none of `names.REFINE`.
    """
    if refine not in REFINE:
        raise DetectorError(f"Unknown refine {refine!r}; use {', '.join(REFINE)}.")
    return refine == "on" or (refine == "auto" and size >= REFINED_FROM)


def refine_landmarks(
    detector: Detector,
    image: torch.Tensor,
    faces: Faces,
    *,
    on_progress: OnProgress | None = None,
) -> Faces:
    """Place the landmarks of faces more exactly, by two more looks at each.

    Boxes, scores and the order stay. A face that the detector does not find again keeps its
    landmarks.

    Args:
        detector: from `load_detector`, best the one that found the faces.
        image: [B, 3, H, W] RGB float in [0, 1], the batch that the faces were found in.
        faces: N faces.
        on_progress: called with (faces done, all faces); may raise to cancel.

    Raises:
        MismatchError: `image` is not floating point [B, 3, H, W], or not the size of the faces'.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> detector = gpen.load_detector("auto", device="cpu")
        >>> image = torch.full((1, 3, 96, 128), 0.5)
        >>> len(gpen.refine_landmarks(detector, image, gpen.detect(detector, image)))
        0
    """
    check_shape(image)
    found = (image.shape[0], image.shape[2], image.shape[3])
    if found != faces.image_size:
        raise MismatchError(
            f"These faces were found in {format_batch(faces.image_size)}, not in "
            f"{format_batch(found)}. Pass the images in which they were detected."
        )
    target = torch.tensor(TEMPLATES["gpen"], dtype=torch.float64, device="cpu") * SIDE
    affine, likeness = fit_similarity(faces.landmarks.double(), target)
    landmarks = faces.landmarks.clone()
    alike = (likeness >= LEAST_LIKENESS).nonzero()[:, 0]
    # Splitting nothing would give one part without a row.
    for rows in alike.split(CHUNK) if len(alike) else ():
        check_interrupt()
        landmarks[rows] = _look_again(detector, image, faces[rows], affine[rows])
        if on_progress is not None:
            on_progress(int(rows[-1]) + 1, len(faces))
    return replace(faces, landmarks=landmarks)


def _look_again(
    detector: Detector, image: torch.Tensor, faces: Faces, affine: torch.Tensor
) -> torch.Tensor:
    """Return the landmarks [K, 5, 2] of faces, refined in the crops that `affine` maps to."""
    linear, shift = affine[:, :, :2], affine[:, None, :, 2]
    inverse = torch.linalg.inv(linear)
    to_image = torch.cat([inverse, -inverse @ affine[:, :, 2:]], dim=2)
    crops = cut_crops(image, to_image, faces.image_index, SIDE, detector.device)
    before = faces.landmarks.double()
    points, seen = _look(detector, crops, (before @ linear.mT + shift).float())
    refined = (points.double() - shift) @ inverse.mT
    return torch.where(seen[:, None, None], refined, before).float()


def _look(
    detector: Detector, crops: torch.Tensor, expected: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the landmarks of the face of each crop [K, 3, S, S] in it and in its mirror image.

    Returns:
        The mean landmarks [K, 5, 2], and whether there are any [K].
    """
    views = torch.cat([crops, crops.flip(3)])
    with full_precision(detector.device):
        found = detector.find(views, threshold=LEAST_SCORE, largest=SIDE)
    total = torch.zeros_like(expected)
    count = torch.zeros(len(expected), dtype=torch.int64, device="cpu")
    for row in range(len(crops)):
        for mirrored in (False, True):
            points = found.landmarks[found.image_index == row + mirrored * len(crops)]
            if mirrored:
                points = _mirror(points)
            distances = (points - expected[row]).norm(dim=2).mean(dim=1)
            if len(points) and distances.min() < FARTHEST * SIDE:
                total[row] += points[distances.argmin()]
                count[row] += 1
    return total / count.clamp(min=1)[:, None, None], count > 0


def _mirror(points: torch.Tensor) -> torch.Tensor:
    """Turn landmarks [N, 5, 2] of a mirrored crop into those of the crop."""
    points = points[:, list(MIRRORED)]
    return torch.stack([SIDE - points[..., 0], points[..., 1]], dim=2)
