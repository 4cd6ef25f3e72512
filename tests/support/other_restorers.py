"""Networks of other face restorers with few weights, for tests of the Runner that runs them."""

from __future__ import annotations

import torch
from torch import nn

from gpen_core.runners.face_restorer import FaceRestorer, FaceRestorerConfig

SMALL = {
    "ch": 32, "ch_mult": (1,) * 6, "num_res_blocks": 1, "n_embed": 16, "embed_dim": 16,
    "z_channels": 16,
}  # fmt: skip
"""Sizes of a RestoreFormer of 0.5 million weights, which spandrel reads from its tensors."""


class Echo(nn.Module):
    """A network that returns its input, in a tuple as those of spandrel do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.fidelities: list[float] = []

    def forward(self, x: torch.Tensor, weight: float = 0.5) -> tuple[torch.Tensor, None]:
        self.fidelities.append(weight)
        return x, None


def make_echo(size: int = 64, fidelity: float | None = None) -> FaceRestorer:
    """Make a Runner of `size` px that returns its input."""
    config = FaceRestorerConfig(size, size)
    return FaceRestorer(Echo(), "Echo", config, fidelity=fidelity).eval().requires_grad_(False)


def write_restoreformer(path) -> nn.Module:
    """Write a small RestoreFormer as its authors store it; return the network."""
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(0)
    network = RestoreFormer(**SMALL)
    torch.save({"params": network.state_dict()}, path)
    return network.eval()
