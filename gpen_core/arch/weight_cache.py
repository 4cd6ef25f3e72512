"""Buffers and weight layouts that a model reuses between forward passes, on a CPU and on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from .cpu.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    Seen = tuple[torch.Tensor, int | None]

Result = TypeVar("Result")


class WeightCache:
    """A cache keyed by name. An entry is valid while its weights keep their storage and version.

    The version is torch's count of in-place writes. It misses writes through `.data` and in
    inference mode: call `clear` after them. Copies and pickles of a cache are empty.

    Attributes:
        cleared: how often `clear` was called.
    """

    def __init__(self) -> None:
        self.cleared = 0
        self._entries: dict[tuple[str, int], tuple[list[Seen], object]] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return WeightCache, ()

    def clear(self) -> None:
        """Drop all entries."""
        self.cleared += 1
        self._entries.clear()

    def get(
        self, name: str, owner: object, weights: Sequence[torch.Tensor], make: Callable[[], Result]
    ) -> Result:
        """Return the entry of this name and owner, after calling `make` if it is not valid.

        Args:
            weights: the tensors that the entry is computed from.
        """
        key = (name, id(owner))
        entry = self._entries.get(key)  # a single access, because another thread may clear
        if entry is not None:
            seen, result = entry
            if all(
                _is_same_memory(before, weight) and version == version_of(weight)
                for (before, version), weight in zip(seen, weights, strict=True)
            ):
                return cast("Result", result)
        result = make()
        # The entry holds the weights' storage, so that no other tensor can take its address.
        self._entries[key] = ([(weight.detach(), version_of(weight)) for weight in weights], result)
        return result


@dataclass
class EngineMemory:
    """The memory that an engine reuses between forward passes of one model.

    Attributes:
        workspace: large buffers of the CPU engine.
        cache: results computed from weights alone, mostly weights in another layout.
    """

    workspace: Workspace = field(default_factory=Workspace)
    cache: WeightCache = field(default_factory=WeightCache)


def version_of(weight: torch.Tensor) -> int | None:
    """Return torch's count of in-place writes; None for inference tensors, which have none."""
    return None if weight.is_inference() else weight._version


def _is_same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.data_ptr(), a.dtype, a.shape, a.stride()) == (
        b.data_ptr(),
        b.dtype,
        b.shape,
        b.stride(),
    )
