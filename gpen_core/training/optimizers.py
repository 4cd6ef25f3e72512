"""What moves a network's weights, by the name that a plan gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import MismatchError
from .muon import Muon, hidden_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..arch import GPEN

OPTIMIZERS = ("adam", "muon")
BETAS = (0.9, 0.99)


class MuonAndAdam:
    """Muon for a network's convolutions, Adam for all else; used as an `Optimizer` is.

    Args:
        model: whose parameters are trained; it stays on its device.
        learning_rate: of both; `param_groups` tells and takes it later.
    """

    def __init__(self, model: GPEN, *, learning_rate: float) -> None:
        convolutions = hidden_weights(model)
        chosen = {id(weight) for weight in convolutions}
        others = [weight for weight in model.parameters() if id(weight) not in chosen]
        self.muon = Muon(convolutions, learning_rate=learning_rate)
        self.adam = Adam(others, learning_rate=learning_rate, betas=BETAS)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of the two, as they are."""
        return [*self.muon.param_groups, *self.adam.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.muon.zero_grad()
        self.adam.zero_grad()

    def step(self) -> None:
        """Move the weights by the gradients that are in them."""
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, on whatever device that was."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def make_optimizer(name: str, model: GPEN, learning_rate: float) -> Adam | MuonAndAdam:
    """One of `OPTIMIZERS` for all of the model's parameters.

    Raises:
        MismatchError: there is none of that name.
    """
    if name not in OPTIMIZERS:
        raise MismatchError(
            f"The optimizer must be one of {', '.join(OPTIMIZERS)}, found {name!r}."
        )
    if name == "muon":
        return MuonAndAdam(model, learning_rate=learning_rate)
    return Adam(model.parameters(), learning_rate=learning_rate, betas=BETAS)


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
