"""`detect`: find every face in a batch of images, each once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import DetectorError
from ..faces import Faces
from ..images import check_image
from ..names import TURNS
from .merging import check_max_faces
from .searching import Search, Tally
from .turns import find_in_best_turn, find_in_every_turn

if TYPE_CHECKING:
    import torch

    from ..progress import OnProgress
    from .protocol import Detector


def detect(
    detector: Detector,
    image: torch.Tensor,
    *,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
    on_progress: OnProgress | None = None,
    min_face: float = 0,
    turns: str = TURNS[0],
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
        min_face: side in pixels of the smallest face to look for. If it is too small for the
            detector, the image is searched enlarged, too, which takes 4 to 16 times as long. 0:
            what the detector finds at full resolution.
        turns: "auto" searches an image that lies on its side or upside down in its right turn, if
            the upright search is not sure. "never" searches it as it is. "always" searches all four
            turns, and finds each face in its own; it takes four times as long.

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
    check_search(min_face, turns)
    if image.numel() == 0:
        return Faces.empty((len(image), image.shape[2], image.shape[3]))
    search = Search(detector, threshold, min_size, min_face, max_faces, Tally(on_progress))
    if turns == "auto":
        return find_in_best_turn(search, image)
    if turns == "always":
        return find_in_every_turn(search, image)
    search.tally.expect(search.count_forwards(image))
    return search.find(image)


def check_options(threshold: float, min_size: float, max_faces: int | None) -> None:
    """Raise DetectorError if an option of `detect` is outside its range or NaN."""
    if not 0 <= threshold <= 1:
        raise DetectorError(f"threshold is a score from 0 to 1; found {threshold}.")
    if not 0 <= min_size < math.inf:
        raise DetectorError(f"min_size is a side in pixels, 0 or more; found {min_size}.")
    check_max_faces(max_faces)


def check_search(min_face: float, turns: str) -> None:
    """Raise DetectorError if one of these options of `detect` is outside its range or unknown."""
    if not 0 <= min_face < math.inf:
        raise DetectorError(f"min_face is a side in pixels, 0 or more; found {min_face}.")
    if turns not in TURNS:
        raise DetectorError(f"Unknown turns {turns!r}; use {', '.join(TURNS)}.")
