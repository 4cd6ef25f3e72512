"""What is computed from weights alone, kept from one face to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    Seen = tuple[torch.Tensor, int | None]

Result = TypeVar("Result")


class Prepared:
    """Results by name, each as long as its weights are the same memory, not written to since.

    torch counts what is written to a tensor, but not what is written through its `.data` or in
    inference mode: after that, `clear`. Copies and pickles are empty.

    Attributes:
        cleared: how often.
    """

    def __init__(self) -> None:
        self.cleared = 0
        self._entries: dict[tuple[str, int], tuple[list[Seen], object]] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Prepared, ()

    def clear(self) -> None:
        """Forget all results."""
        self.cleared += 1
        self._entries.clear()

    def get(
        self, name: str, owner: object, weights: Sequence[torch.Tensor], make: Callable[[], Result]
    ) -> Result:
        """`make()`, or what it gave before for this name, owner and weights."""
        key = (name, id(owner))
        entry = self._entries.get(key)  # at once: another thread may clear
        if entry is not None:
            kept, result = entry
            if all(
                _is_same_memory(before, weight) and version == version_of(weight)
                for (before, version), weight in zip(kept, weights, strict=True)
            ):
                return cast("Result", result)
        result = make()
        # The weights' memory is held, so that no other can come to lie at its address.
        self._entries[key] = ([(weight.detach(), version_of(weight)) for weight in weights], result)
        return result


def version_of(weight: torch.Tensor) -> int | None:
    """How often it was written to; None where torch does not count."""
    return None if weight.is_inference() else weight._version


def _is_same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.data_ptr(), a.dtype, a.shape, a.stride()) == (
        b.data_ptr(),
        b.dtype,
        b.shape,
        b.stride(),
    )
