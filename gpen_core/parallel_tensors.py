"""Frozen sets of parallel tensors: their fields are copied, checked and indexed together."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import torch

from .errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Index = torch.Tensor | Sequence[int] | Sequence[bool] | slice | int


class _Rows(Protocol):
    """A dataclass of tensors with one row per face."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __len__(self) -> int: ...


Value = TypeVar("Value", bound=_Rows)


def set_field(value: Any, name: str, dtype: torch.dtype, tail: tuple[int, ...]) -> None:
    """Copy one field to the CPU in its dtype; check its shape and that its values are finite."""
    tensor = _copy(value, name).to(dtype)
    if tensor.ndim != len(tail) + 1 or tuple(tensor.shape[1:]) != tail:
        wanted = ", ".join(["N", *map(str, tail)])
        raise MismatchError(
            f"{type(value).__name__}.{name} must be [{wanted}], found {list(tensor.shape)}."
        )
    if not torch.isfinite(tensor).all():
        raise MismatchError(f"{type(value).__name__}.{name} holds NaN or infinite values.")
    object.__setattr__(value, name, tensor)


def _copy(value: Any, name: str) -> torch.Tensor:
    """Copy a field to the CPU, so that the caller may change the original."""
    given = getattr(value, name)
    try:
        return torch.as_tensor(given, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise MismatchError(
            f"{type(value).__name__}.{name} must be a tensor, found {given!r:.100}."
        ) from error


def set_image_index(value: Any) -> None:
    """Copy image_index; check it against image_size, and that every field has N rows."""
    kind = type(value).__name__
    given = _copy(value, "image_index")
    index = given.to(torch.int64)
    if index.ndim != 1 or not torch.equal(index.to(given.dtype), given):
        raise MismatchError(f"{kind}.image_index must be [N] whole numbers, found {given}.")
    object.__setattr__(value, "image_index", index)
    try:
        size = tuple(int(n) for n in value.image_size)
    except (TypeError, ValueError):
        size = ()
    if len(size) != 3 or min(size) < 0:
        raise MismatchError(f"{kind}.image_size must be (B, H, W), found {value.image_size!r}.")
    object.__setattr__(value, "image_size", size)
    rows = {
        f.name: len(getattr(value, f.name))
        for f in fields(value)
        if isinstance(getattr(value, f.name), torch.Tensor)
    }
    if len(set(rows.values())) > 1:
        raise MismatchError(f"{kind} needs one row per face in every field, found {rows}.")
    if len(index) and not (0 <= int(index.min()) and int(index.max()) < size[0]):
        raise MismatchError(
            f"{kind}.image_index must lie in 0 … {size[0] - 1} (a batch of {size[0]}), "
            f"found {int(index.min())} … {int(index.max())}."
        )


def row_numbers(index: Index, count: int) -> torch.Tensor:
    """Turn a mask, list, slice or single index into [M] int64 row numbers."""
    if isinstance(index, slice):
        index = list(range(count))[index]
    if isinstance(index, (list, tuple)) and not index:
        return torch.zeros(0, dtype=torch.int64, device="cpu")
    try:
        rows = torch.atleast_1d(torch.as_tensor(index, device="cpu"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise MismatchError(
            f"Faces are chosen by numbers, a slice or a mask, found {index!r:.100}."
        ) from error
    if rows.dtype == torch.bool:
        if rows.shape != (count,):
            raise MismatchError(f"A mask over {count} faces has shape {list(rows.shape)}.")
        return rows.nonzero()[:, 0]
    if rows.is_floating_point() or rows.ndim != 1:
        raise MismatchError(
            f"Faces are chosen by [M] whole numbers or a mask, found {rows.dtype} of shape "
            f"{list(rows.shape)}."
        )
    absent = rows[(rows < -count) | (rows >= count)]
    if len(absent):
        raise MismatchError(f"Face {int(absent[0])} was asked for; there are {count}.")
    return torch.arange(count, device="cpu")[rows.to(torch.int64)]


def select(value: Value, index: Index) -> Value:
    """Return the same kind of value with the chosen rows of every field."""
    rows = row_numbers(index, len(value))
    picked = {
        f.name: getattr(value, f.name)[rows]
        for f in fields(value)
        if isinstance(getattr(value, f.name), torch.Tensor)
    }
    return replace(value, **picked)
