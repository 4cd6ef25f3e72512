"""A crop warped to its place, with the fine detail that the photograph has there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .. import warp
from .detail import (
    choose_window,
    detail_share,
    find_agreement,
    find_middle,
    find_noise,
    trust_band,
)

if TYPE_CHECKING:
    from .placement import Placement


class WarpedCrop:
    """One crop in the target's frame, with the photograph's fine detail added.

    Args:
        pixels: [1, 3, S, S] the crop.
        background: [1, 3, H', W'] the image that it is pasted into.
        placement: where it lies there.
        detail: weight of the fine detail, 0 … 1, or "auto".
        given: [1, 3, S', S'] the crop as it was cut from `background`; None cuts it again.
    """

    def __init__(
        self,
        pixels: torch.Tensor,
        background: torch.Tensor,
        placement: Placement,
        detail: float | str,
        given: torch.Tensor | None = None,
    ) -> None:
        self.background, self.placement, self.detail = background, placement, detail
        self.layers = pixels
        if detail == 0:
            return
        if given is None:
            given = _cut(background, placement)
        size = placement.pixels_size
        content = warp.resize(given.to(pixels), size, size)
        if not isinstance(detail, str):
            # Warping is linear, so crop + detail · (photograph − crop content) needs one warp.
            self.layers = pixels - detail * content
            return
        density = max(placement.scale) / warp.shrink_factor(placement.to_target)
        density *= placement.pixels_size / placement.crop_size
        self.trust = trust_band(content, pixels, density)
        if self.trust == 0:
            self.detail = 0.0
            return
        self.layers = torch.cat([pixels, content, find_agreement(content, pixels, density)], dim=1)
        middle = find_middle(placement)
        before = warp.cut_rectangle(background, middle).to(pixels)
        held = self._warp(content, middle)
        self.window = choose_window(placement)
        self.noise = find_noise(before - held, self.window)

    def at(self, band: warp.Rectangle, before: torch.Tensor) -> torch.Tensor:
        """Return [1, 3, h, w] in [0, 1] at `band`; `before` is the target there."""
        if self.detail == 0:
            return self._warp(self.layers, band).clamp(0, 1)
        if not isinstance(self.detail, str):
            return (self._warp(self.layers, band) + self.detail * before).clamp(0, 1)
        # Rows above and below are needed to average over boxes.
        rectangle, reach = self.placement.rectangle, self.window // 2
        top, bottom = (
            max(band.top - reach, rectangle.top),
            min(band.bottom + reach, rectangle.bottom),
        )
        around = band._replace(top=top, bottom=bottom)
        values, held, kept = self._warp(self.layers, around).split((3, 3, 1), dim=1)
        lost = warp.cut_rectangle(self.background, around).to(held) - held
        share = self.trust * detail_share(lost, self.noise, self.window) * kept.clamp(0, 1)
        rows = slice(band.top - top, band.bottom - top)
        return (values + share * lost)[..., rows, :].clamp(0, 1)

    def _warp(self, layers: torch.Tensor, band: warp.Rectangle) -> torch.Tensor:
        return warp.resample(layers, self.placement.to_pixels(band), band.height, band.width)


def _cut(background: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Cut the crop [1, 3, S, S] from the background as `cut` does."""
    return warp.cut_crops(
        background,
        placement.to_target[None],
        torch.zeros(1, dtype=torch.int64, device="cpu"),
        placement.crop_size,
        placement.device,
    )
