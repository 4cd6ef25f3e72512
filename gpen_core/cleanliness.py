"""Tell clean faces from damaged ones by how much a network changes them.

A network that restores faithfully hardly changes a clean face, so its own change says best how
damaged a face is. `leave_clean` weighs the restored face by it: nothing of it up to a first change,
all of it from a second one, evenly in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from . import warp
from .checkpoints.catalog import weights_folder
from .media import read_image

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from .runner import Runner

CLEAN_FACE = "clean_face.jpg"
"""A clean face, aligned as GPEN's are, in the folder of our weights."""

LEFT, RESTORED = 3.0, 10.0
"""Changes in levels of 255: up to the first, a face is left as it is; from the second on, it is
restored in full. `python benchmarks/fidelity.py clean` measures what they keep and cost."""

SPREAD = 1.25
"""A network changes other clean faces by up to so many times what it does to the stored one."""


_LIMITS: WeakKeyDictionary[Runner, dict[str, tuple[float, float]]] = WeakKeyDictionary()


def measure_change(restored: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Measure how much faces changed: root mean squares [N] in levels of 255.

    Args:
        restored: [N, 3, S, S] RGB in [0, 1].
        given: the same faces before, of the same size.
    """
    return 255 * (restored - given).square().mean(dim=(1, 2, 3)).sqrt()


def choose_limits(change: float) -> tuple[float, float]:
    """Choose the changes at which a face is left alone and restored in full, in levels of 255.

    Args:
        change: by how much the network changes a clean face.
    """
    left = max(LEFT, SPREAD * change)
    return left, left + RESTORED - LEFT


def find_limits(
    model: Runner, colour: str, restore: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[float, float]:
    """Find the changes at which this model's faces are left alone and restored in full.

    A network that paints every face anew changes clean ones, too. So it restores a clean face, once
    in the model's life for each choice of `colour`.

    Args:
        model: the model.
        colour: which colours restored faces get; see `restore`.
        restore: restores a face [1, 3, in_size, in_size] RGB in [0, 1] with it.
    """
    limits = _LIMITS.setdefault(model, {})
    if colour not in limits:
        face = read_image(weights_folder() / CLEAN_FACE)
        face = warp.resize(face, model.config.in_size, model.config.in_size).clamp(0, 1)
        restored = restore(face)
        before = warp.resize(face, *restored.shape[2:]).clamp(0, 1)
        limits[colour] = choose_limits(float(measure_change(restored, before)))
    return limits[colour]


def weigh_change(change: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    """Compute the share [N] of the restored faces, 0 … 1, from their change [N]."""
    left, restored = limits
    share = ((change - left) / (restored - left)).clamp(0, 1)
    return share * share * (3 - 2 * share)
