"""Adam as every network here is trained with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


class Adam(torch.optim.Adam):
    """Adam over parameters of one device; on a GPU in one kernel for all of them."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        *,
        learning_rate: float,
        betas: tuple[float, float],
    ) -> None:
        parameters = list(parameters)
        self.fused = True if parameters[0].is_cuda else None  # None: the device's default
        super().__init__(parameters, lr=learning_rate, betas=betas, fused=self.fused)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, on whatever device that was."""
        groups = [group | {"fused": self.fused} for group in state_dict["param_groups"]]
        super().load_state_dict(state_dict | {"param_groups": groups})
