"""A Runner whose network the host loads, offloads and frees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import host

if TYPE_CHECKING:
    from ..gpen_core.arch import GPEN
    from ..gpen_core.runner import RunnerConfig
    from ..gpen_core.runners.face_restorer import FaceRestorer


class GPENNetwork(torch.nn.Module):
    """Wraps the network, since the patcher sets `device` and a GPEN's `device` is read-only."""

    def __init__(self, network: GPEN | FaceRestorer) -> None:
        super().__init__()
        self.network = network


def _is_same_device(one: torch.device, other: torch.device) -> bool:
    """Compare devices; "mps" and "mps:0", which PyTorch holds for unequal, are the same."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)


class HostedGPEN:
    """A Runner whose network the host loads, offloads and frees; the value of GPEN_MODEL.

    Attributes:
        config: the network's sizes, and for networks other than GPEN their template.
        patcher: the host's handle on the network. The host's cache looks for this name.
    """

    def __init__(self, network: GPEN | FaceRestorer) -> None:
        self.config: RunnerConfig = network.config
        self.network = network
        self.patcher = host.WholePatcher(
            GPENNetwork(network),
            load_device=host.get_device(),
            offload_device=host.get_offload_device(),
        )

    @property
    def device(self) -> torch.device:
        """The device on which the host lets the network compute."""
        return self.patcher.load_device

    def load(self, batch_size: int) -> None:
        """Load the weights to the device and free memory for a pass of `batch_size` faces."""
        memory = self.config.forward_memory(batch_size, self.network.dtype)
        host.load_model(self.patcher, memory)
        # With --novram the host leaves the weights on the CPU despite `force_full_load`.
        if any(not _is_same_device(p.device, self.device) for p in self.network.parameters()):
            self.network.to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network's convolutions compute in."""
        return self.network.dtype

    @property
    def sharpen(self) -> float:
        """The amount of sharpening that the checkpoint asks for."""
        return self.network.sharpen

    @property
    def task(self) -> str | None:
        """What the network was trained for, if its file tells."""
        return getattr(self.network, "task", None)

    def is_oom(self, error: Exception) -> bool:
        """Ask the host whether an error says that the device's memory ran out."""
        return host.is_oom(error)

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Run the network on faces [N, 3, in, in] in [-1, 1], on any device.

        The weights are loaded before every pass, since the host may have unloaded them for another
        model. This costs nothing while they are still loaded.
        """
        self.load(len(faces))
        return self.network(faces.to(self.device), noise_seed=noise_seed)
