"""Adam as every network here is trained with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


def adam(
    parameters: Iterable[torch.nn.Parameter], *, learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam over parameters of one device; on a GPU in one kernel for all of them."""
    parameters = list(parameters)
    fused = True if parameters[0].is_cuda else None  # None is PyTorch's default for the device
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=fused)


def load_adam(optimizer: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Go on from what `state_dict` gave, on whatever device that was."""
    fused = optimizer.defaults["fused"]
    groups = [group | {"fused": fused} for group in state["param_groups"]]
    optimizer.load_state_dict(state | {"param_groups": groups})
