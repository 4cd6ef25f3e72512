"""Convert checkpoints to `.safetensors` files."""

from __future__ import annotations

from pathlib import Path

import torch

from ..devices import DTYPES
from ..errors import CheckpointError, DeviceError, MismatchError
from ..runners import verification
from . import catalog
from .loading import read_checkpoint
from .metadata import MAX_SHARPEN, sharpen_metadata, task_metadata
from .onnx import is_onnx_file, read_onnx_graph
from .state_dicts import DTYPE_NAMES
from .tensor_files import write_safetensors


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    dtype: str | None = None,
    sharpen: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint as a flat `.safetensors` file, completely or not at all.

    Args:
        source: a file, or a name of the catalogue.
        target: a path that ends in `.safetensors`.
        dtype: "fp32", "fp16" or "bf16"; None keeps the dtype of each tensor.
        sharpen: the value of `GPEN.sharpen` that the file stores, 0 … `MAX_SHARPEN`; None keeps
            the value of `source`.
        overwrite: replace `target` if it exists.

    Returns:
        `target` as a path.

    Raises:
        CheckpointError: `source` is not a GPEN, `target` exists or cannot be written, or a weight
            is too large for `dtype`.
        DeviceError: the dtype is unknown.
        MismatchError: `sharpen` is out of range.
    """
    target = check_output(target, dtype)
    if sharpen is not None and not 0 <= sharpen <= MAX_SHARPEN:
        raise MismatchError(f"sharpen must lie in 0 … {MAX_SHARPEN}, found {sharpen:g}.")
    checkpoint = read_checkpoint(catalog.resolve(source))
    tensors = checkpoint.state_dict
    if dtype is not None:
        stored = DTYPES[dtype]
        tensors = {name: round_weight(name, tensor, stored) for name, tensor in tensors.items()}
    amount = checkpoint.sharpen if sharpen is None else sharpen
    metadata = {**sharpen_metadata(amount), **task_metadata(checkpoint.task)}
    write_safetensors(tensors, target, overwrite=overwrite, metadata=metadata)
    return target


def verify_checkpoint(source: str | Path) -> float:
    """Compare an ONNX file, as our network computes it, with ONNX Runtime.

    Args:
        source: a file, or a name of the catalogue.

    Returns:
        The relative difference for one fixed face, ‖difference‖ / ‖result‖.

    Raises:
        CheckpointError: it is no ONNX file, it cannot be read or compared, onnxruntime is not
            installed, or the difference is too large for a right reading.
    """
    path = catalog.resolve(source)
    if not is_onnx_file(path):
        raise CheckpointError(
            f"Only ONNX files are compared with ONNX Runtime; `{path}` is none. Leave --verify out."
        )
    checkpoint = read_checkpoint(path)
    found = verification.verify(path, checkpoint.sha256, read_onnx_graph(path).main_dtype)
    if found.is_wrong or found.difference is None:
        raise CheckpointError(
            f"`{path}` was read wrongly: it {found.describe().removeprefix('no: it ')}; at most "
            f"{found.limit:g} is allowed. Please report this. The engine onnxruntime runs the file."
        )
    return found.difference


def check_output(target: str | Path, dtype: str | None) -> Path:
    """Check the target file and dtype of a new checkpoint; return `target` as a path.

    Raises:
        CheckpointError: `target` does not end in `.safetensors`.
        DeviceError: the dtype is unknown.
    """
    target = Path(target)
    if target.suffix.lower() != ".safetensors":
        raise CheckpointError(
            f"Only .safetensors files are written; `{target}` has another suffix."
        )
    if dtype is not None and dtype not in DTYPES:
        raise DeviceError(f"Unknown dtype {dtype!r}; use {', '.join(DTYPES)}.")
    return target


def round_weight(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Convert the weight called `name` to another dtype.

    Raises:
        CheckpointError: it holds values that are too large for `dtype`.
    """
    stored = tensor.to(dtype)
    if not torch.isfinite(stored).all():
        raise CheckpointError(
            f"`{name}` holds values too large for {DTYPE_NAMES[dtype]}, whose largest value is "
            f"{torch.finfo(dtype).max:,.0f}. Use bf16 or fp32."
        )
    return stored
