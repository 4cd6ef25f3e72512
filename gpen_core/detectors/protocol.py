"""The protocol of a face detector: one pass over pixels at their scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from ..faces import Faces


class Detector(Protocol):
    """Finds faces in one pass at one scale; `detect` adds scales, tiles and merging.

    Attributes:
        name: the detector's name in `DETECTORS`.
        device: the device on which the network runs.
        threshold: the default of the lowest score to keep, in [0, 1].
        smallest: side in pixels of the smallest face that the detector finds reliably.
        largest: side in pixels of the largest face to accept from a pass if there is a coarser
            one. The coarser pass finds a larger face better, or finds it at all.
        short_side: short side in pixels of the coarsest pass, in which the detector finds a face
            that fills the image in one piece.
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
        """Find faces at the scale of the pixels only.

        Args:
            pixels: [N, 3, H, W] RGB float in [0, 1], on any device, at least 1 × 1.
            threshold: the lowest score to keep.
            largest: side in pixels of the largest face that the caller needs. A detector may skip
                work above it, but need not: it is no filter.

        A pass that takes long should call `interrupts.check_interrupt` every half second or so.

        Returns:
            The faces of the N images, boxes and landmarks in pixels of `pixels`. Boxes may cross
            the border of the image.
        """
        ...
