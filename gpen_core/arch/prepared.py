"""What is computed from weights alone, kept from one face to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

Result = TypeVar("Result")


class Prepared:
    """Results by name, each as long as its weights are the same memory, not written to since.

    torch counts what is written to a tensor, but not what is written through its `.data`: after
    that, `clear`. Copies and pickles are empty.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], tuple[list[tuple[torch.Tensor, int]], object]] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Prepared, ()

    def clear(self) -> None:
        """Forget all results."""
        self._entries.clear()

    def get(
        self, name: str, owner: object, weights: Sequence[torch.Tensor], make: Callable[[], Result]
    ) -> Result:
        """`make()`, or what it gave before for this name, owner and weights."""
        if any(weight.is_inference() for weight in weights):
            return make()  # torch does not count what is written to such a tensor
        key = (name, id(owner))
        entry = self._entries.get(key)  # at once: another thread may clear
        if entry is not None:
            kept, result = entry
            if all(
                _is_same_memory(before, weight) and version == weight._version
                for (before, version), weight in zip(kept, weights, strict=True)
            ):
                return cast("Result", result)
        result = make()
        # The weights' memory is held, so that no other can come to lie at its address.
        self._entries[key] = ([(weight.detach(), weight._version) for weight in weights], result)
        return result


def _is_same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.data_ptr(), a.dtype, a.shape, a.stride()) == (
        b.data_ptr(),
        b.dtype,
        b.shape,
        b.stride(),
    )
