"""What every face detector offers to `detect`: one pass over pixels as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from ..faces import Faces


class Detector(Protocol):
    """Finds faces in one pass at one scale; `detect` adds scales, tiles and merging.

    Attributes:
        name: its name in the registry.
        device: where its network computes.
        threshold: the score at which it is used unless told otherwise, in [0, 1].
        smallest: side in pixels of the smallest face that it finds reliably.
        largest: side in pixels of the largest face to take from a pass when a coarser one exists;
            above it the same face is found better, or only, at the coarser scale.
        short_side: short side in pixels of the coarsest pass, at which a face that fills the image
            is found in one piece.
    """

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def threshold(self) -> float: ...
    @property
    def smallest(self) -> int: ...
    @property
    def largest(self) -> int: ...
    @property
    def short_side(self) -> int: ...

    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        """Faces in pixels at this scale only.

        Args:
            pixels: [N, 3, H, W] RGB float in [0, 1], on any device, at least 1 × 1.
            threshold: lowest score kept.
            largest: faces above this side in pixels are not needed; an upper bound that lets a
                detector skip work, not a filter.

        Returns:
            Faces of the N images, boxes and landmarks in pixels of `pixels`; boxes may reach over
            its border.
        """
        ...
