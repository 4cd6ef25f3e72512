"""Read the header of a safetensors file: names, shapes and dtypes, before any number is read."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

import torch

from ..errors import CheckpointError
from ..printable import printable
from .outlines import Node, OutlineTensor, is_possible_shape

MAX_HEADER = 1 << 22
"""Bytes of a header. That of a GPEN has 30,000; each name takes about 100."""
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}  # fmt: skip


def read_header(file: BinaryIO) -> Node:
    """Return the outline of the contents of a safetensors file: its tensors by name.

    Raises:
        CheckpointError: the header is damaged, or does not fit the length of the file. The message
            lacks its subject, which is the file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 + length:
        raise CheckpointError(
            f"is a truncated safetensors file ({size:,} bytes), or not one. Download the file "
            "again: it was cut off or altered."
        )
    if length > MAX_HEADER:
        raise CheckpointError(
            f"was refused: its header has {length:,} bytes, more than {MAX_HEADER:,}. Convert "
            "the original file again."
        )
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no JSON object")
    header.pop("__metadata__", None)
    tensors = {name: _outline(name, entry, size - 8 - length) for name, entry in header.items()}
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total != size - 8 - length:
        raise _damaged(f"its tensors take {total:,} bytes, found {size - 8 - length:,}")
    return Node.of_entries(tensors)


def _outline(name: str, entry: Any, size: int) -> OutlineTensor:
    shown = printable(name)
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind: Any = fields.get("dtype")
    shape: Any = fields.get("shape")
    offsets: Any = fields.get("data_offsets")
    if not isinstance(kind, str) or kind not in DTYPES:
        raise CheckpointError(
            f"was refused: `{shown}` is of the dtype {printable(str(kind))}; expected one of "
            f"{', '.join(DTYPES)}."
        )
    if not (_are_counts(shape) and is_possible_shape(shape) and _are_counts(offsets)):
        raise _damaged(f"`{shown}` has no shape or no place")
    tensor = OutlineTensor(tuple(shape), DTYPES[kind])
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise _damaged(f"`{shown}` lies outside of the file")
    if tensor.nbytes != offsets[1] - offsets[0]:
        raise _damaged(
            f"`{shown}` of the shape {shape} must have {tensor.nbytes:,} bytes, found "
            f"{offsets[1] - offsets[0]:,}"
        )
    return tensor


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _damaged(detail: str) -> CheckpointError:
    return CheckpointError(
        f"is a damaged or truncated safetensors file ({detail}). Download the file again: it was "
        "cut off or altered."
    )
