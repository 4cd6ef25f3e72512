"""A trained network that another one learns from: knowledge distillation (arXiv 1503.02531)."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch

from ..errors import MismatchError

if TYPE_CHECKING:
    from ..arch import GPEN
    from .plan import TrainingPlan


class Teacher:
    """Restores faces, as targets for the network in training.

    A degraded face has many plausible originals. The teacher always picks the same one, so the
    targets are less noisy than the clean faces.

    Args:
        model: the network to learn from; it is copied.
        plan: the plan of the run.
        device: where to restore.

    Raises:
        MismatchError: the teacher's sizes differ from those of the plan's network.
    """

    def __init__(self, model: GPEN, plan: TrainingPlan, device: torch.device) -> None:
        sizes = (model.config.in_size, model.config.out_size)
        wanted = (plan.config.in_size, plan.config.out_size)
        if sizes != wanted:
            raise MismatchError(
                f"The teacher restores faces of {sizes[0]} px to {sizes[1]} px, the network in "
                f"training those of {wanted[0]} px to {wanted[1]} px. Choose a teacher of its size."
            )
        self.model = deepcopy(model).to(device).eval().requires_grad_(False)
        self.model.set_dtype(torch.bfloat16 if plan.bf16 else torch.float32)

    @torch.no_grad()
    def restore(self, degraded: torch.Tensor, *, mirrored: bool) -> torch.Tensor:
        """Restore faces, [N, 3, S, S] RGB in [0, 1], to the same form.

        Args:
            degraded: the faces to restore.
            mirrored: show the teacher the mirrored faces. When every second step does, the student
                does not learn what the teacher does on one side of a face only.
        """
        x = degraded.flip(-1) if mirrored else degraded
        x = self.model((x * 2 - 1).contiguous(memory_format=torch.channels_last))
        x = (x.float() / 2 + 0.5).clamp(0, 1)
        return x.flip(-1) if mirrored else x
