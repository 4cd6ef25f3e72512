"""Measures a model against its degraded input on faces it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .degrade import DEFAULT, Degradation, degrade
from .losses import psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Callable

EVALUATION_SEED = 20261124
ROUNDS = 4


@dataclass(frozen=True)
class Scores:
    """Means over all pairs; PSNR in dB, SSIM in [−1, 1], of the degraded input and the output."""

    pairs: int
    input_psnr: float
    output_psnr: float
    input_ssim: float
    output_ssim: float

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs: PSNR {self.input_psnr:.3f} → {self.output_psnr:.3f} dB "
            f"({self.output_psnr - self.input_psnr:+.3f}), SSIM {self.input_ssim:.4f} → "
            f"{self.output_ssim:.4f} ({self.output_ssim - self.input_ssim:+.4f})"
        )


def degraded_pair(
    faces: torch.Tensor, number: int, round_: int, degradation: Degradation = DEFAULT
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return face `number` [1, 3, S, S] clean and degraded with the fixed seed of `round_`."""
    target = faces[number : number + 1].float() / 255
    seed = EVALUATION_SEED + number * ROUNDS + round_
    return target, degrade(target, seed=seed, degradation=degradation)


@torch.inference_mode()
def evaluate(
    restore: Callable[[torch.Tensor], torch.Tensor],
    faces: torch.Tensor,
    *,
    degradation: Degradation = DEFAULT,
) -> Scores:
    """Score `restore` ([1, 3, S, S] in [0, 1] to the same) on `faces` [N, 3, S, S] uint8."""
    rows = []
    for number in range(len(faces)):
        for round_ in range(ROUNDS):
            target, degraded = degraded_pair(faces, number, round_, degradation)
            output = restore(degraded).cpu()
            rows.append(
                torch.cat(
                    [
                        psnr(degraded, target),
                        psnr(output, target),
                        ssim(degraded, target),
                        ssim(output, target),
                    ]
                )
            )
    means = torch.stack(rows).double().mean(dim=0).tolist()
    return Scores(len(rows), *means)
