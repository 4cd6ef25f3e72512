"""Training in several processes, as `torchrun` starts them: ranks, shared batches, averages."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn

from ..errors import DeviceError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Ranks:
    """The rank of this process among those that train together.

    Attributes:
        rank: number of this process, from 0. Rank 0 writes and prints.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the process that writes and prints."""
        return self.rank == 0

    def slice_batch(self, batch_size: int) -> slice:
        """Return the part of a batch that this process computes.

        Raises:
            MismatchError: the batch cannot be divided evenly.
        """
        if batch_size % self.count:
            raise MismatchError(
                f"A batch of {batch_size} cannot be divided evenly among {self.count} processes; "
                f"choose a --batch-size that is a multiple of {self.count}."
            )
        each = batch_size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def average_gradients(self, module: nn.Module) -> nn.Module:
        """Wrap `module`, so that backward() averages its gradients over all processes."""
        if self.count == 1:
            return module
        wrapper = nn.parallel.DistributedDataParallel
        # Buffers never change, so nothing need be sent. PyTorch 2.14 renamed this option.
        known = inspect.signature(wrapper).parameters
        if "forward_sync_buffers" in known:
            return wrapper(module, forward_sync_buffers=False)
        return wrapper(module, broadcast_buffers=False)

    def average(self, values: torch.Tensor) -> torch.Tensor:
        """Average `values` over all processes."""
        if self.count > 1:
            dist.all_reduce(values)  # a sum: gloo cannot average
            values = values / self.count
        return values

    def find_max(self, value: float, device: torch.device) -> float:
        """Return the largest `value` of all processes."""
        if self.count == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64).to(device, torch.float32)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return values.item()


ALONE = Ranks()


@contextmanager
def join_ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that `torchrun` started; without `torchrun`, train alone.

    Args:
        device: the chosen device; "cuda" becomes the GPU of this process.

    Yields:
        The ranks, and the device of this process.

    Raises:
        DeviceError: there are more processes than GPUs, or processes cannot share the device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise DeviceError(
                f"This machine has {gpus} GPUs, but torchrun started process {local + 1} on it; "
                f"use --nproc-per-node {gpus}."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise DeviceError(f"Several processes can train on cuda or cpu, not on {device.type}.")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
