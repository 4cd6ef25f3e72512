"""The tensors of an ONNX file: their names, shapes and places; their numbers when they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...files import is_file
from ...printable import printable
from ..outlines import is_possible_shape
from .protobuf import (
    BYTES,
    MAX_TEXT,
    Source,
    Span,
    UnreadableGraph,
    damaged,
    signed,
    span_of,
    unpack_varints,
)

if TYPE_CHECKING:
    from .protobuf import Field

DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32,
    7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""PyTorch's dtypes, by ONNX's number."""

DTYPE_NAMES = {
    1: "fp32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "fp16", 11: "fp64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128", 16: "bf16", 17: "fp8 e4m3fn", 18: "fp8 e4m3fnuz", 19: "fp8 e5m2",
    20: "fp8 e5m2fnuz", 21: "uint4", 22: "int4", 23: "fp4 e2m1",
}  # fmt: skip
"""The dtypes in words, by ONNX's number."""

_DIMS, _DTYPE, _SEGMENT, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 3, 8, 9, 13, 14
_LISTS = {4: "float_data", 5: "int32_data", 7: "int64_data", 10: "double_data"}
_WIDTHS = {4: np.dtype("<f4"), 10: np.dtype("<f8")}
_BITS = {torch.float16: torch.int16, torch.bfloat16: torch.int16}


@dataclass(eq=False)
class TensorEntry:
    """A tensor of an ONNX file, whose numbers are not read yet.

    Attributes:
        name: its name in the graph.
        shape: its shape.
        type_number: ONNX's number of its dtype.
    """

    path: Path
    name: str = ""
    shape: tuple[int, ...] = ()
    type_number: int = 0
    raw: Span | None = None
    lists: dict[int, list[Span | int]] = field(default_factory=dict)
    external: dict[str, str] | None = None
    has_segment: bool = False

    @property
    def dtype_name(self) -> str:
        """The dtype in words: "fp32", "int64" …"""
        return DTYPE_NAMES.get(self.type_number, f"type {self.type_number}")

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take; 0 for a dtype that we do not know."""
        dtype = DTYPES.get(self.type_number)
        return self.elements * dtype.itemsize if dtype else 0

    def read(self) -> torch.Tensor:
        """Read the numbers.

        Raises:
            UnreadableGraph: the dtype is unknown, or the numbers do not fit the shape.
        """
        if self.type_number not in DTYPES or self.has_segment:
            raise UnreadableGraph(
                f"cannot be read as a GPEN: its tensor `{printable(self.name)}` is of the type "
                f"{self.dtype_name}{' in segments' if self.has_segment else ''}; expected numbers."
            )
        dtype = DTYPES[self.type_number]
        if self.external is not None:
            return self._from_bytes(self._read_external(self.external), dtype)
        with self.path.open("rb") as file:
            source = Source(file)
            if self.raw is not None:
                self._check_length(self.raw.end - self.raw.start)
                return self._from_bytes(source.read(*self.raw), dtype)
            return self._from_lists(source, dtype)

    def check_place(self) -> None:
        """Check that numbers in another file lie in the folder of this one; they are not read.

        Raises:
            UnreadableGraph: they lie elsewhere, or there is no such file.
        """
        if self.external is not None:
            self._find_external(self.external.get("location", ""))

    def _from_bytes(self, data: bytes, dtype: torch.dtype) -> torch.Tensor:
        self._check_length(len(data))
        if not data:
            return torch.empty(self.shape, dtype=dtype)
        return torch.frombuffer(bytearray(data), dtype=dtype).reshape(self.shape)

    def _check_length(self, found: int) -> None:
        if found != self.nbytes:
            raise damaged(
                f"its tensor `{printable(self.name)}` of the shape {list(self.shape)} must have "
                f"{self.nbytes:,} bytes, found {found:,}"
            )

    def _from_lists(self, source: Source, dtype: torch.dtype) -> torch.Tensor:
        if len(self.lists) > 1:
            raise damaged(f"its tensor `{printable(self.name)}` has numbers of two types")
        number, items = next(iter(self.lists.items()), (7, []))
        values = _gather(source, number, items)
        if len(values) != self.elements:
            raise damaged(
                f"its tensor `{printable(self.name)}` of the shape {list(self.shape)} has "
                f"{len(values):,} elements"
            )
        if dtype in _BITS:  # each element of int32_data holds the 16 bits of a number
            bits = torch.from_numpy(values.astype(np.int64)).to(torch.int32).to(torch.int16)
            return bits.view(dtype).reshape(self.shape)
        return torch.from_numpy(values.copy()).to(dtype).reshape(self.shape)

    def _read_external(self, where: dict[str, str]) -> bytes:
        path = self._find_external(where.get("location", ""))
        try:
            offset, length = int(where.get("offset", "0")), int(where.get("length", self.nbytes))
        except ValueError as error:
            raise damaged(f"the place of its tensor `{printable(self.name)}`") from error
        self._check_length(length)
        with path.open("rb") as file:
            return Source(file).read(offset, offset + length)

    def _find_external(self, location: str) -> Path:
        """Return the file that holds the numbers; it must lie in the folder of the ONNX file."""
        shown, folder = printable(location), self.path.resolve().parent
        plain = PurePosixPath(location.replace("\\", "/"))
        outside = plain.is_absolute() or ".." in plain.parts or ":" in location or "\0" in location
        if not location or outside:
            raise _refuse_place(self.name, shown)
        path = folder / plain
        if not path.resolve().is_relative_to(folder):
            raise _refuse_place(self.name, shown)
        if not is_file(path):
            raise UnreadableGraph(
                f"lacks the file `{shown}`, which holds its weights. Put it into `{folder}`."
            )
        return path


def _refuse_place(name: str, shown: str) -> UnreadableGraph:
    return UnreadableGraph(
        f"was refused: the numbers of its tensor `{printable(name)}` lie in `{shown}`, which is "
        "not in the folder of the file. Export the model again into one folder."
    )


def _gather(source: Source, number: int, items: list[Span | int]) -> np.ndarray:
    """Return the numbers of a list that is packed, or has one field for each number."""
    parts: list[np.ndarray] = []
    width = _WIDTHS.get(number)
    loose: list[int] = []
    for item in items:
        if isinstance(item, int):
            loose.append(item)
            continue
        data = source.read(*item)
        if width is None:
            parts.append(unpack_varints(data))
        elif len(data) % width.itemsize:
            raise damaged("a list of numbers does not end")
        else:
            parts.append(np.frombuffer(data, width))
    if loose:
        unsigned = np.array(loose, np.uint64)
        if width is None:
            parts.append(unsigned.view(np.int64))
        else:
            parts.append(unsigned.astype(f"<u{width.itemsize}").view(width))
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def list_tensor(source: Source, span: Span, path: Path) -> TensorEntry:
    """Return the name, shape and place of a tensor."""
    entry = TensorEntry(path)
    dims: list[int] = []
    for item in source.fields(span):
        if item.number == _DIMS:
            dims += list_ints(source, item)
        elif item.number in _LISTS:
            entry.lists.setdefault(item.number, []).append(item.value)
        elif item.number == _EXTERNAL:
            key, value = read_pair(source, span_of(item))
            entry.external = {**(entry.external or {}), key: value}
        else:
            _set_detail(entry, source, item)
    if any(size < 0 for size in dims) or not is_possible_shape(dims):
        raise damaged(f"its tensor `{printable(entry.name)}` has the shape {printable(str(dims))}")
    entry.shape = tuple(dims)
    return entry


def _set_detail(entry: TensorEntry, source: Source, item: Field) -> None:
    if item.number == _NAME:
        entry.name = source.text(span_of(item))
    elif item.number == _DTYPE:
        entry.type_number = signed(item.value)
    elif item.number == _RAW:
        entry.raw = span_of(item)
    elif item.number == _SEGMENT:
        entry.has_segment = True
    elif item.number == _LOCATION and signed(item.value) == 1:
        entry.external = entry.external or {}


def list_ints(source: Source, item: Field) -> list[int]:
    """Return the numbers of a field of a repeated int64, which may be packed."""
    if item.wire != BYTES:
        return [signed(item.value)]
    span = span_of(item)
    if span.end - span.start > MAX_TEXT:
        raise damaged(
            f"a list of {span.end - span.start:,} bytes stands where a few numbers belong"
        )
    return unpack_varints(source.read(*span)).tolist()


def read_pair(source: Source, span: Span) -> tuple[str, str]:
    """Return the key and the value of an entry of a list of texts."""
    texts = {1: "", 2: ""}
    for item in source.fields(span):
        if item.number in texts:
            texts[item.number] = source.text(span_of(item))
    return texts[1], texts[2]
