"""`Picture`, an image together with what its file carries besides colours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..errors import MismatchError
from .metadata import NO_METADATA, Metadata

LUMINANCE = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and the metadata of its file.

    Attributes:
        pixels: [1, 3, H, W] float32 RGB in [0, 1], upright, in the file's colour space.
        alpha: [1, 1, H, W] float32 in [0, 1], or None.
        bits: bits per sample in the file, 8 or 16.
        channels: 1 if the file stores only grey, else 3.
        grey: True if every pixel has R = G = B, whether the file stores grey or RGB.
        metadata: EXIF, XMP, IPTC, colour profile, resolution and texts.
        is_lossless: the file is a WebP or AVIF that was compressed without loss.
        lost: parts of the file that this value does not hold, in a few words each.
    """

    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    bits: int = 8
    channels: int = 3
    grey: bool = False
    metadata: Metadata = NO_METADATA
    is_lossless: bool = False
    lost: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = list(self.pixels.shape)
        if len(shape) != 4 or shape[:2] != [1, 3] or min(shape) < 1:
            raise MismatchError(f"A picture's pixels must be [1, 3, H, W], found {shape}.")
        if self.alpha is not None and list(self.alpha.shape) != [1, 1, *shape[2:]]:
            raise MismatchError(
                f"Alpha must be {[1, 1, *shape[2:]]} like the pixels, found "
                f"{list(self.alpha.shape)}."
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[3], self.pixels.shape[2]

    def with_pixels(self, pixels: torch.Tensor) -> Picture:
        """Return a copy of this picture with other pixels.

        A grey picture stays grey, because a network may tint it. Alpha is resized if the new pixels
        have another size.

        Args:
            pixels: [1, 3, H', W'] RGB in [0, 1].
        """
        if self.grey:
            red, green, blue = (w * pixels[:, c : c + 1] for c, w in enumerate(LUMINANCE))
            pixels = (red + green + blue).expand(-1, 3, -1, -1)
        alpha = self.alpha
        if alpha is not None and alpha.shape[2:] != pixels.shape[2:]:
            size = (pixels.shape[2], pixels.shape[3])
            alpha = F.interpolate(alpha, size, mode="bicubic", antialias=True).clamp(0, 1)
        return replace(self, pixels=pixels, alpha=alpha)
