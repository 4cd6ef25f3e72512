"""What is computed from a weight alone, kept from one face to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

Result = TypeVar("Result")


class Prepared:
    """Results by name, each as long as its weight is the same memory, not written to since.

    torch counts what is written to a tensor, but not what is written through its `.data`: after
    that, `clear`. Copies and pickles are empty.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], tuple[torch.Tensor, int, object]] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Prepared, ()

    def clear(self) -> None:
        """Forget all results."""
        self._entries.clear()

    def get(
        self, name: str, owner: object, weight: torch.Tensor, make: Callable[[], Result]
    ) -> Result:
        """`make()`, or what it gave before for this name, owner and weight."""
        if weight.is_inference():  # torch does not count what is written to such a tensor
            return make()
        key = (name, id(owner))
        entry = self._entries.get(key)
        if entry is not None:
            kept, version, result = entry
            if _is_same_memory(kept, weight) and version == weight._version:
                return cast("Result", result)
        result = make()
        # The weight's memory is held, so that no other can come to lie at its address.
        self._entries[key] = (weight.detach(), weight._version, result)
        return result


def _is_same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.data_ptr(), a.dtype, a.shape, a.stride()) == (
        b.data_ptr(),
        b.dtype,
        b.shape,
        b.stride(),
    )
