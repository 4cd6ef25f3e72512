"""Measures a model against its degraded input on faces it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from .degrade import DEFAULT, Degradation, degrade
from .losses import psnr, ssim
from .measures import colour_drift, flat_skin, noise, sharpness

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lazy_faces import LazyFaces

    Restore = Callable[[torch.Tensor], torch.Tensor]

EVALUATION_SEED = 20261124
ROUNDS = 4


@dataclass(frozen=True)
class Scores:
    """Means over pairs of a degraded input and a model's output, beside the clean face.

    Attributes:
        pairs: how many.
        input_psnr, output_psnr: dB.
        input_ssim, output_ssim: in [−1, 1].
        input_sharpness, output_sharpness: mean gradient of the luma, as a share of the clean
            face's; noise counts as gradient too.
        clean_noise, input_noise, output_noise: σ in flat skin, levels of 255.
        red_drift, green_drift, blue_drift: mean of output − clean, levels of 255.
    """

    pairs: int
    input_psnr: float
    output_psnr: float
    input_ssim: float
    output_ssim: float
    input_sharpness: float
    output_sharpness: float
    clean_noise: float
    input_noise: float
    output_noise: float
    red_drift: float
    green_drift: float
    blue_drift: float

    @classmethod
    def mean(cls, pairs: torch.Tensor) -> Scores:
        """The means of some rows of `score_pairs`."""
        return cls(len(pairs), *pairs.double().mean(dim=0).tolist())

    @property
    def worst_drift(self) -> float:
        """The drift of the channel that drifts most, with its sign."""
        return max(self.red_drift, self.green_drift, self.blue_drift, key=abs)

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs: PSNR {self.input_psnr:.3f} → {self.output_psnr:.3f} dB "
            f"({self.output_psnr - self.input_psnr:+.3f}), SSIM {self.input_ssim:.4f} → "
            f"{self.output_ssim:.4f} ({self.output_ssim - self.input_ssim:+.4f})\n"
            f"sharpness {self.input_sharpness:.1%} → {self.output_sharpness:.1%} of the clean "
            f"faces'; noise in flat skin {self.input_noise:.2f} → {self.output_noise:.2f} levels "
            f"of 255 (clean {self.clean_noise:.2f}); colour drift R {self.red_drift:+.2f} "
            f"G {self.green_drift:+.2f} B {self.blue_drift:+.2f} levels"
        )


FIGURES = [field.name for field in fields(Scores)][1:]


def degraded_pair(
    faces: torch.Tensor | LazyFaces,
    number: int,
    round_: int,
    degradation: Degradation = DEFAULT,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return face `number` [1, 3, S, S] clean and degraded with the fixed seed of `round_`."""
    target = faces[number : number + 1].float() / 255
    seed = EVALUATION_SEED + number * ROUNDS + round_
    return target, degrade(target, seed=seed, degradation=degradation)


@torch.inference_mode()
def score_pairs(
    restore: Restore, faces: torch.Tensor | LazyFaces, *, degradation: Degradation = DEFAULT
) -> torch.Tensor:
    """Score every face with every round, ROUNDS rows for each face in turn.

    Args:
        restore: takes and gives [ROUNDS, 3, S, S] RGB in [0, 1].
        faces: [N, 3, S, S] uint8 RGB, clean.
        degradation: what to draw from.

    Returns:
        [N · ROUNDS, 12] float32, the columns as in FIGURES.
    """
    rows = []
    for number in range(len(faces)):
        pairs = [degraded_pair(faces, number, round_, degradation) for round_ in range(ROUNDS)]
        target, degraded = (torch.cat(images) for images in zip(*pairs, strict=True))
        output = restore(degraded).cpu()
        clean_sharpness = sharpness(target).clamp_min(1e-6)
        flat = flat_skin(target)
        columns = [
            psnr(degraded, target),
            psnr(output, target),
            ssim(degraded, target),
            ssim(output, target),
            sharpness(degraded) / clean_sharpness,
            sharpness(output) / clean_sharpness,
            noise(target, flat),
            noise(degraded, flat),
            noise(output, flat),
            *colour_drift(output, target).unbind(dim=1),
        ]
        rows.append(torch.stack(columns, dim=1))
    return torch.cat(rows)


def evaluate(
    restore: Restore, faces: torch.Tensor | LazyFaces, *, degradation: Degradation = DEFAULT
) -> Scores:
    """The mean of `score_pairs`, which takes the same."""
    return Scores.mean(score_pairs(restore, faces, degradation=degradation))


def group_scores(pairs: torch.Tensor, groups: list[str]) -> dict[str, Scores]:
    """Means over the faces of each group.

    Args:
        pairs: from `score_pairs`.
        groups: the group of each face.
    """
    by_face = pairs.view(len(groups), ROUNDS, -1)
    return {
        group: Scores.mean(by_face[[name == group for name in groups]].flatten(0, 1))
        for group in sorted(set(groups))
    }


def lightness_group(angle: float) -> str:
    """Name the band of `measures.skin_lightness` that an angle lies in."""
    if math.isnan(angle):
        return "no colour"
    # The bands of Del Bino and Bernerd 2013, two and three of them together: a few faces each.
    if angle > 55:
        return "ITA > 55°"
    return "ITA 28° to 55°" if angle > 28 else "ITA ≤ 28°"
