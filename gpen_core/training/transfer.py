"""Tensors of the CPU, brought to where images are without waiting for that device."""

from __future__ import annotations

import torch


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`.

    What lies on the CPU a GPU copies when its stream gets there; from memory that is not pinned it
    would be waited for until then.
    """
    if device.type == "cuda" and values.is_cpu:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def in_double(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` where float64 is computed for `device`: there, but for MPS, which has none."""
    return values if device.type == "mps" else sent(values, device)
