"""Measures a model against its degraded input on faces it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from ..degradation.degrade import degrade
from ..degradation.presets import DEFAULT, Degradation
from .measures import colour_drift, face_oval, flat_skin, noise, psnr, sharpness, ssim

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
        input_face_psnr, output_face_psnr: the same inside `measures.face_oval`.
        input_ssim, output_ssim: in [−1, 1].
        input_sharpness, output_sharpness: mean gradient of the luma, as a share of the clean
            face's; noise counts as gradient too.
        clean_noise, input_noise, output_noise: σ in flat skin, levels of 255.
        red_drift, green_drift, blue_drift: mean of output − clean, levels of 255.
        gain_error, face_gain_error: standard errors, between faces, of what PSNR gains in the mean;
            NaN for one face.
    """

    pairs: int
    input_psnr: float
    output_psnr: float
    input_face_psnr: float
    output_face_psnr: float
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
    gain_error: float
    face_gain_error: float

    @classmethod
    def mean(cls, pairs: torch.Tensor) -> Scores:
        """The means of some faces' scores, as in `score_pairs`."""
        faces, rounds, _ = pairs.shape
        by_face = pairs.double().mean(dim=1)
        after, before = (
            by_face[:, [FIGURES.index(f"{side}_{figure}") for figure in ("psnr", "face_psnr")]]
            for side in ("output", "input")
        )
        gains = after - before
        errors = gains.std(dim=0) / faces**0.5 if faces > 1 else gains.new_full((2,), math.nan)
        return cls(faces * rounds, *by_face.mean(dim=0).tolist(), *errors.tolist())

    @property
    def worst_drift(self) -> float:
        """The drift of the channel that drifts most, with its sign."""
        return max(self.red_drift, self.green_drift, self.blue_drift, key=abs)

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs: PSNR {self.input_psnr:.3f} → {self.output_psnr:.3f} dB "
            f"({self.output_psnr - self.input_psnr:+.3f}), SSIM {self.input_ssim:.4f} → "
            f"{self.output_ssim:.4f} ({self.output_ssim - self.input_ssim:+.4f})\n"
            f"PSNR from brow to chin {self.input_face_psnr:.3f} → {self.output_face_psnr:.3f} dB "
            f"({self.output_face_psnr - self.input_face_psnr:+.3f})\n"
            f"sharpness {self.input_sharpness:.1%} → {self.output_sharpness:.1%} of the clean "
            f"faces'; noise in flat skin {self.input_noise:.2f} → {self.output_noise:.2f} levels "
            f"of 255 (clean {self.clean_noise:.2f}); colour drift R {self.red_drift:+.2f} "
            f"G {self.green_drift:+.2f} B {self.blue_drift:+.2f} levels"
        )


FIGURES = [field.name for field in fields(Scores)][1:]


@dataclass(frozen=True)
class Damage:
    """How the faces are degraded that a model is measured on.

    Attributes:
        degradation: what to draw from.
        rounds: how often every face is degraded.
        same: degrade every face alike, so that faces can be compared; otherwise each has draws of
            its own, so that few rounds see many.
    """

    degradation: Degradation = DEFAULT
    rounds: int = ROUNDS
    same: bool = False

    def pair(
        self, faces: torch.Tensor | LazyFaces, number: int, round_: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return face `number` [1, 3, S, S] clean and degraded with the fixed seed of `round_`."""
        target = faces[number : number + 1].float() / 255
        seed = EVALUATION_SEED + round_ + (0 if self.same else number * self.rounds)
        return target, degrade(target, seed=seed, degradation=self.degradation)


USUAL_DAMAGE = Damage()


@torch.inference_mode()
def score_pairs(
    restore: Restore, faces: torch.Tensor | LazyFaces, *, damage: Damage = USUAL_DAMAGE
) -> torch.Tensor:
    """Score every face with every round.

    Args:
        restore: takes and gives [B, 3, S, S] RGB in [0, 1], B up to ROUNDS.
        faces: [N, 3, S, S] uint8 RGB, clean.
        damage: how they are degraded.

    Returns:
        [N, rounds, 14] float32, the columns as in FIGURES up to the errors.
    """
    rows = []
    oval = face_oval(faces.shape[-1])
    for number in range(len(faces)):
        pairs = [damage.pair(faces, number, round_) for round_ in range(damage.rounds)]
        target, degraded = (torch.cat(images) for images in zip(*pairs, strict=True))
        output = torch.cat([restore(part).cpu() for part in degraded.split(ROUNDS)])
        clean_sharpness = sharpness(target).clamp_min(1e-6)
        flat = flat_skin(target)
        columns = [
            psnr(degraded, target),
            psnr(output, target),
            psnr(degraded, target, oval),
            psnr(output, target, oval),
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
    return torch.stack(rows)


def evaluate(
    restore: Restore, faces: torch.Tensor | LazyFaces, *, damage: Damage = USUAL_DAMAGE
) -> Scores:
    """The mean of `score_pairs`, which takes the same."""
    return Scores.mean(score_pairs(restore, faces, damage=damage))


def group_scores(pairs: torch.Tensor, groups: list[str]) -> dict[str, Scores]:
    """Means over the faces of each group.

    Args:
        pairs: from `score_pairs`.
        groups: the group of each face, "" for those that are in none.
    """
    return {
        group: Scores.mean(pairs[[name == group for name in groups]])
        for group in sorted(set(groups) - {""})
    }


def lightness_group(angle: float) -> str:
    """Name the band of `measures.skin_lightness` that an angle lies in."""
    if math.isnan(angle):
        return "no colour"
    # The bands of Del Bino and Bernerd 2013, two and three of them together: a few faces each.
    if angle > 55:
        return "ITA > 55°"
    return "ITA 28° to 55°" if angle > 28 else "ITA ≤ 28°"
