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
    """Restores the faces that a network in training is compared with.

    What clean faces leave open, a face's true pores, say, is decided by the teacher, and always the
    same way: less is learned from each step's faces by chance.

    Args:
        model: the network to learn from; it is copied.
        plan: what is trained.
        device: where.

    Raises:
        MismatchError: the teacher restores faces of another size than the plan's network.
    """

    def __init__(self, model: GPEN, plan: TrainingPlan, device: torch.device) -> None:
        sizes = (model.config.in_size, model.config.out_size)
        wanted = (plan.config.in_size, plan.config.out_size)
        if sizes != wanted:
            raise MismatchError(
                f"The teacher restores faces of {sizes[0]} to {sizes[1]} px, the network in "
                f"training takes {wanted[0]} and puts out {wanted[1]} px. Choose one of its size."
            )
        self.model = deepcopy(model).to(device).eval().requires_grad_(False)
        self.model.set_dtype(torch.bfloat16 if plan.bf16 else torch.float32)

    @torch.no_grad()
    def restore(self, degraded: torch.Tensor, *, mirrored: bool) -> torch.Tensor:
        """Restored faces, [N, 3, S, S] RGB in [0, 1], of degraded ones in the same form.

        Args:
            degraded: what to restore.
            mirrored: let the teacher see them mirrored. Asked for in turn, what it does on one side
                of a face alone is not learned.
        """
        x = degraded.flip(-1) if mirrored else degraded
        x = self.model((x * 2 - 1).contiguous(memory_format=torch.channels_last))
        x = (x.float() / 2 + 0.5).clamp(0, 1)
        return x.flip(-1) if mirrored else x
