"""The CPU's vector instructions: the length of the kernels' vectors, and known extensions."""

from __future__ import annotations

import functools

import torch

LANES = 16
"""Channels in a vector of the kernels: 64 bytes of float32, one AVX-512 register or two of AVX2."""


@functools.cache
def cpu_has(name: str) -> bool:
    """Tell whether the CPU has the extension that torch calls `name`.

    False where this version of torch cannot tell.
    """
    found = getattr(torch.cpu, f"_is_{name}_supported", None)  # older versions lack some
    return found is not None and bool(found())
