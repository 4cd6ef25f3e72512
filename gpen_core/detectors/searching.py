"""A search for faces with its options, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .merging import filter_faces
from .scales import count_forwards, plan_passes, search_scales

if TYPE_CHECKING:
    import torch

    from ..faces import Faces
    from ..progress import OnProgress
    from .protocol import Detector
    from .scales import Pass


class Tally:
    """Counts the forward passes of a search and reports them.

    Args:
        on_progress: called with (done, total) after every forward pass; may raise.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._done = self._total = 0

    def expect(self, forwards: int) -> None:
        """Add forward passes that are to come."""
        self._total += forwards

    def count(self) -> None:
        """Report one more forward pass."""
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def skip_rest(self) -> None:
        """Report that the passes to come are not needed."""
        if self._done < self._total:
            self._done = self._total - 1
            self.count()


@dataclass(frozen=True)
class Search:
    """The options of `detect`, checked.

    Attributes:
        detector: what searches.
        threshold: the lowest score to keep.
        min_size, min_face, max_faces: see `detect`.
        tally: counts the forward passes.
    """

    detector: Detector
    threshold: float
    min_size: float
    min_face: float
    max_faces: int | None
    tally: Tally

    def plan(self, image: torch.Tensor) -> list[Pass]:
        """Plan the passes over [B, 3, H, W]."""
        _, _, H, W = image.shape
        return plan_passes(self.detector, H, W, self.min_size, self.min_face)

    def count_forwards(self, image: torch.Tensor) -> int:
        """Count the forward passes that `find` takes."""
        return count_forwards(self.plan(image), len(image))

    def count_pixels(self, height: float, width: float) -> int:
        """Count the pixels that all passes over one image read."""
        passes = plan_passes(self.detector, height, width, self.min_size, self.min_face)
        return sum(searched.height * searched.width for searched in passes)

    def find(self, image: torch.Tensor) -> Faces:
        """Find the faces of [B, 3, H, W], not empty, as it stands."""
        passes = self.plan(image)
        faces = search_scales(self.detector, image, passes, self.threshold, self.tally.count)
        return filter_faces(faces, min_size=max(self.min_size, 1), max_faces=self.max_faces)
