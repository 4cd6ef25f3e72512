"""Outlines of the values in a file of tensors: shapes and names, but no numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CheckpointError
from ..printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_DEPTH = 64
"""How deep containers may nest. Known files nest at most six deep."""
MAX_ITEMS = 4_000_000
"""Items of a container in all depths, each counted as often as it is reached."""
MAX_DIMENSIONS = 16
SHARING = 4
"""How often the tensors of a file may use its bytes."""
SMALL = 1 << 20
"""Bytes that tensors may take whatever the file's size."""

ELEMENT_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8,
}  # fmt: skip
"""Bytes of one element, by the name of the storage type."""

DTYPE_OF_STORAGE = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
}  # fmt: skip


def damaged(detail: str) -> CheckpointError:
    """Return the error of a damaged file; the name of the file is put before its message."""
    return CheckpointError(
        f"is a damaged PyTorch file ({detail}). Download the file again: it was cut off or altered."
    )


def refused(detail: str) -> CheckpointError:
    """Return the error of a file that asks for too much; its name is put before the message."""
    return CheckpointError(
        f"was refused before anything was read into memory: {detail}. No checkpoint needs that. "
        "Ask its author for a .safetensors file."
    )


def is_key(value: Any) -> bool:
    """Whether a dictionary may have this key: its hash must take no time worth mentioning."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return value is None or isinstance(value, (str, float))


def is_possible_shape(sizes: Sequence[int]) -> bool:
    """Whether PyTorch could make a tensor of this shape, without numbers at least."""
    return len(sizes) <= MAX_DIMENSIONS and math.prod(size or 1 for size in sizes) < 1 << 48


@dataclass(frozen=True)
class OutlineTensor:
    """A tensor without its numbers.

    Attributes:
        shape: its shape.
        dtype: its dtype.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """The bytes that its elements take."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class Storages:
    """The storages that a pickle names.

    Attributes:
        types: the type and the number of elements of each storage, by its key.
        tensor_bytes: the bytes of all tensors in these storages.
    """

    types: dict[str, tuple[str, int]] = field(default_factory=dict)
    tensor_bytes: int = 0

    def size(self, key: str) -> int:
        """Return the bytes of the storage `key`."""
        kind, numel = self.types[key]
        return ELEMENT_SIZES[kind] * numel

    def check_total(self, file_size: int) -> None:
        """Raise CheckpointError if the tensors need more memory than a file of this size can.

        The tensors may share storages, as two state dicts of one network do.
        """
        limit = SHARING * file_size + SMALL
        if self.tensor_bytes > limit:
            raise refused(
                f"its tensors take {self.tensor_bytes:,} bytes of memory, but the file has "
                f"{file_size:,} bytes"
            )


class Node:
    """A container or an object in a pickle.

    A container that lies in another one must not change any more: so none can contain itself, and
    `depth` and `size` stay true.

    Attributes:
        kind: "tuple", "list", "dict", "OrderedDict", "Namespace", "storage", "global" …
        items: the contents; a dict for the kinds that have keys.
        depth: how deep containers nest in it.
        size: the number of items in all depths.
    """

    __slots__ = ("depth", "is_placed", "items", "kind", "size")

    def __init__(self, kind: str, items: Any) -> None:
        self.kind = kind
        self.items = items
        self.depth = 0
        self.size = 1
        self.is_placed = False

    @classmethod
    def of(cls, kind: str, items: list[Any]) -> Node:
        """Return a container of these items."""
        node = cls(kind, items)
        node._place(items)
        return node

    @classmethod
    def of_entries(cls, entries: dict[Any, Any]) -> Node:
        """Return a dictionary of these entries."""
        node = cls("dict", entries)
        node._place(entries.values())
        return node

    def _place(self, items: Iterable[Any]) -> None:
        for item in items:
            self.size += 1
            if isinstance(item, Node):
                if item is self or self.is_placed:
                    raise refused("a container in its pickle contains itself")
                item.is_placed = True
                self.size += item.size
                self.depth = max(self.depth, item.depth + 1)
        if self.is_placed:
            raise refused("a container in its pickle changes after it was stored in another")
        if self.depth > MAX_DEPTH:
            raise refused(f"its containers nest deeper than {MAX_DEPTH} levels")
        if self.size > MAX_ITEMS:
            raise refused(f"its containers unfold to more than {MAX_ITEMS:,} items")

    def extend(self, items: list[Any]) -> None:
        """Append items to a list."""
        if self.kind != "list":
            raise damaged(f"its pickle appends to a {self.kind}")
        self._place(items)
        self.items.extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Set the entries of a dictionary: key, value, key, value …"""
        if self.kind not in ("dict", "OrderedDict"):
            raise damaged(f"its pickle sets an item of a {self.kind}")
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values):
            raise damaged("its pickle sets a key without a value")
        for key in keys:
            if not is_key(key):
                raise refused("a dictionary has a key that is neither a text nor a number")
        self._place(values)
        self.items.update(zip(keys, values, strict=True))

    def set_attributes(self, state: Any) -> None:
        """Set the attributes of an OrderedDict or a Namespace."""
        if self.kind not in ("OrderedDict", "Namespace") or not isinstance(state, Node):
            raise refused(f"its pickle sets attributes of a {self.kind}")
        if state.kind not in ("dict", "OrderedDict"):
            raise refused("its pickle sets attributes that are no dictionary")
        for name in state.items:
            # A state dict has `_metadata`. Another name could hide a method of the dictionary.
            plain = isinstance(name, str) and not name.startswith("__")
            if not plain or (self.kind == "OrderedDict" and not name.startswith("_")):
                raise refused(f"its pickle sets the attribute `{printable(str(name))}`")
        self._place([state])


def build_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> OutlineTensor:
    """Return the outline of a tensor, after checking that its storage holds it."""
    if not isinstance(storage, Node) or storage.kind != "storage":
        raise damaged("its pickle makes a tensor of something that is no storage")
    if not all(isinstance(node, Node) and node.kind == "tuple" for node in (shape, strides)):
        raise damaged("its pickle describes a tensor without shape or strides")
    sizes, steps = shape.items, strides.items
    numbers = [offset, *sizes, *steps]
    if len(sizes) != len(steps) or any(type(n) is not int or n < 0 for n in numbers):
        raise damaged("its pickle describes a tensor of an impossible shape")
    key, kind, numel = storage.items
    if not is_possible_shape(sizes):
        raise refused(f"it holds a tensor of the shape {printable(str(sizes))}")
    if 0 not in sizes:
        _check_elements(sizes, steps, offset, numel, key)
    return OutlineTensor(tuple(sizes), DTYPE_OF_STORAGE[kind])


def _check_elements(sizes: list[int], steps: list[int], offset: int, numel: int, key: str) -> None:
    """Raise CheckpointError unless all elements lie in the storage, and are no more than it has."""
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if last >= numel or math.prod(sizes) > numel:
        raise refused(
            f"it holds a tensor of the shape {sizes} (strides {steps}, offset {offset}), but its "
            f"storage `{printable(key)}` has only {numel:,} elements"
        )


def sketch(value: Any) -> Any:
    """Return containers and tensors like those of an outline; the tensors are on "meta"."""
    return _sketch(value, {})


def _sketch(value: Any, done: dict[int, Any]) -> Any:
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, OutlineTensor):
        made: Any = torch.empty(value.shape, dtype=value.dtype, device="meta")
    elif not isinstance(value, Node):
        return value
    elif value.kind in ("dict", "OrderedDict"):
        made = {key: _sketch(item, done) for key, item in value.items.items()}
    else:
        made = [_sketch(v, done) for v in value.items] if isinstance(value.items, list) else value
    done[id(value)] = made
    return made
