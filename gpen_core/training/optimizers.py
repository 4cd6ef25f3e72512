"""The optimizers that a plan can name: Adam, and Muon with Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import MismatchError
from .muon import Muon, find_hidden_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..arch import GPEN

OPTIMIZERS = ("adam", "muon")
BETAS = (0.9, 0.99)


class Adam(torch.optim.Adam):
    """Adam for parameters that share a device; on a GPU one kernel updates all of them."""

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
        """Continue from a `state_dict`, also from one of another device."""
        groups = [group | {"fused": self.fused} for group in state_dict["param_groups"]]
        super().load_state_dict(state_dict | {"param_groups": groups})


class MuonAndAdam:
    """Muon for a network's convolutions and Adam for all else; used like an `Optimizer`.

    Args:
        model: the network to train; it must stay on its device.
        learning_rate: of both optimizers; change it later in `param_groups`.
    """

    def __init__(self, model: GPEN, *, learning_rate: float) -> None:
        convolutions = find_hidden_weights(model)
        chosen = {id(weight) for weight in convolutions}
        others = [weight for weight in model.parameters() if id(weight) not in chosen]
        self.muon = Muon(convolutions, learning_rate=learning_rate)
        self.adam = Adam(others, learning_rate=learning_rate, betas=BETAS)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of both optimizers; changes take effect."""
        return [*self.muon.param_groups, *self.adam.param_groups]

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.muon.zero_grad()
        self.adam.zero_grad()

    def step(self) -> None:
        """Update the weights from their gradients."""
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both optimizers."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`, also from one of another device."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def make_optimizer(name: str, model: GPEN, learning_rate: float) -> Adam | MuonAndAdam:
    """Make one of `OPTIMIZERS` for all parameters of the model.

    Raises:
        MismatchError: no optimizer has that name.
    """
    if name not in OPTIMIZERS:
        raise MismatchError(
            f"The optimizer must be one of {', '.join(OPTIMIZERS)}, found {name!r}."
        )
    if name == "muon":
        return MuonAndAdam(model, learning_rate=learning_rate)
    return Adam(model.parameters(), learning_rate=learning_rate, betas=BETAS)
