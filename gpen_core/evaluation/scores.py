"""Scores a model: degrades clean faces, restores them, and compares both with the originals."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from ..degradation.degrade import degrade
from ..degradation.presets import DEFAULT, Degradation
from .measures import colour_drift, find_flat_skin, make_face_oval, noise, psnr, sharpness, ssim

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lazy_faces import LazyFaces

    Restore = Callable[[torch.Tensor], torch.Tensor]

EVALUATION_SEED = 20261124
ROUNDS_PER_FACE = 4


@dataclass(frozen=True)
class Scores:
    """Means over pairs of a degraded input and a model's output, compared with the clean face.

    Attributes:
        pairs: number of pairs.
        input_psnr, output_psnr: dB.
        input_face_psnr, output_face_psnr: dB, inside `measures.make_face_oval`.
        input_ssim, output_ssim: in [−1, 1].
        input_sharpness, output_sharpness: mean gradient of the luma divided by that of the clean
            face; noise counts as gradient too.
        clean_noise, input_noise, output_noise: σ in flat skin, levels of 255.
        red_drift, green_drift, blue_drift: mean of output − clean, levels of 255.
        gain_error, face_gain_error: standard errors of the mean gain in PSNR, from the spread
            between faces; NaN for one face.
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
        """Average the scores of pairs, [faces, rounds, 14] from `score_pairs`."""
        faces, rounds, _ = pairs.shape
        by_face = pairs.double().mean(dim=1)
        after, before = (
            by_face[:, [SCORE_NAMES.index(f"{side}_{name}") for name in ("psnr", "face_psnr")]]
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


SCORE_NAMES = [field.name for field in fields(Scores)][1:]


@dataclass(frozen=True)
class DegradationRounds:
    """How the clean faces are degraded, and how often.

    Attributes:
        degradation: the ranges to draw from.
        count: number of rounds; every face is degraded once in each.
        same: draw alike for all faces, so that faces can be compared. Otherwise the draws differ
            between faces, so that a few rounds cover more of the ranges.
        change: makes the network's input from a degraded face and a seed, where a task asks for it.
    """

    degradation: Degradation = DEFAULT
    count: int = ROUNDS_PER_FACE
    same: bool = False
    change: Callable[[torch.Tensor, int], torch.Tensor] | None = None

    def make_pair(
        self, crops: torch.Tensor | LazyFaces, index: int, round_: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return crop `index` clean and degraded in `round_`, [1, 3, S, S] float32 in [0, 1] each.

        Args:
            crops: [N, 3, S, S] uint8 RGB, clean.
            index: which of them.
            round_: 0 … `count` − 1; together with `index` it fixes the seed.
        """
        target = crops[index : index + 1].float() / 255
        seed = EVALUATION_SEED + round_ + (0 if self.same else index * self.count)
        degraded = degrade(target, seed=seed, degradation=self.degradation)
        return target, degraded if self.change is None else self.change(degraded, seed)


DEFAULT_ROUNDS = DegradationRounds()


@torch.inference_mode()
def score_pairs(
    restore: Restore, crops: torch.Tensor | LazyFaces, *, rounds: DegradationRounds = DEFAULT_ROUNDS
) -> torch.Tensor:
    """Score every face in every round.

    Args:
        restore: maps [B, 3, S, S] RGB in [0, 1] to the same shape and range; B is at most
            ROUNDS_PER_FACE.
        crops: [N, 3, S, S] uint8 RGB, clean.
        rounds: how to degrade them.

    Returns:
        [N, rounds, 14] float32; the columns are SCORE_NAMES without the two errors.
    """
    rows = []
    oval = make_face_oval(crops.shape[-1])
    for index in range(len(crops)):
        pairs = [rounds.make_pair(crops, index, round_) for round_ in range(rounds.count)]
        target, degraded = (torch.cat(images) for images in zip(*pairs, strict=True))
        output = torch.cat([restore(part).cpu() for part in degraded.split(ROUNDS_PER_FACE)])
        clean_sharpness = sharpness(target).clamp_min(1e-6)
        flat = find_flat_skin(target)
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
    restore: Restore, crops: torch.Tensor | LazyFaces, *, rounds: DegradationRounds = DEFAULT_ROUNDS
) -> Scores:
    """Average `score_pairs`, which takes the same arguments."""
    return Scores.mean(score_pairs(restore, crops, rounds=rounds))


def score_groups(pairs: torch.Tensor, groups: list[str]) -> dict[str, Scores]:
    """Average the scores over the faces of each group.

    Args:
        pairs: from `score_pairs`.
        groups: the group of each face; a face with "" is in none.
    """
    return {
        group: Scores.mean(pairs[[name == group for name in groups]])
        for group in sorted(set(groups) - {""})
    }
