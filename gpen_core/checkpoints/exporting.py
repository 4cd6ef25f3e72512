"""Export networks to ONNX files, for programs that run those."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .. import names
from ..arch import GPEN
from ..devices import DTYPES, free_system_memory
from ..errors import CheckpointError, DeviceError
from ..files import write_atomically
from ..runners.probes import make_probe, relative_difference
from ..runners.sessions import estimate_memory, open_session, require_package, run_session
from . import catalog
from .loading import build_network, read_checkpoint
from .metadata import sharpen_metadata, task_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

BATCHES = (1, 2, 5)
"""Batch sizes with which a new file is compared with our network. The batch of an ONNX file is free
only if no constant in it depends on one."""

TOLERANCES: dict[str, float] = dict(zip(names.EXPORT_DTYPES, (1e-5, 4e-3), strict=True))
"""The largest relative difference from our float32 network. In float16, networks of 64 to 1024 px
differ by 3e-4 to 8e-4."""

MEMORY_SHARE = 0.5
"""Share of the free memory that a comparison with more than one face may take."""


@torch.inference_mode()
def export_onnx(
    source: GPEN | str | Path,
    target: str | Path,
    *,
    dtype: str = "fp32",
    overwrite: bool = False,
) -> dict[int, float]:
    """Write a network as an `.onnx` file, completely or not at all.

    The file takes and gives [N, 3, S, S] RGB float32 in [-1, 1] under the names `input` and
    `output`. N is free. The amount of sharpening stands in the file's metadata under
    `gpen.sharpen`; programs other than this one do not apply it. Before the file gets its name,
    ONNX Runtime runs it with 1, 2 and 5 faces, and the results are compared with our network. Where
    memory does not suffice for 2 or 5 faces, they are left out.

    Args:
        source: a network, a file, or a name of the catalogue.
        target: a path that ends in `.onnx`.
        dtype: "fp32" or "fp16", the dtype of convolutions and of their weights.
        overwrite: replace `target` if it exists.

    Returns:
        The relative difference from our float32 network, ‖difference‖ / ‖result‖, by batch size.

    Raises:
        CheckpointError: onnx or onnxruntime is not installed, `source` is not a GPEN, `target` has
            another suffix, exists or cannot be written, or the file computes something else, for
            example because float16 overflows.
        DeviceError: the dtype is unknown.
        MismatchError: the network's output is larger than its input, so that it draws noise.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig(16, 16, widths=(8, 8, 8), style_dim=16, mapping_layers=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "tiny.onnx"
        ...     differences = gpen.export_onnx(gpen.GPEN(config), target)
        >>> max(differences.values()) < 1e-5
        True
    """
    target = Path(target)
    _check_options(target, dtype)
    for package in ("onnx", "onnxruntime"):
        require_package(package, "`gpen export`")
    model = _take_network(source)
    metadata = {**sharpen_metadata(model.sharpen), **task_metadata(model.task)}
    try:
        with write_atomically(target, overwrite=overwrite) as scratch:
            _write(model, scratch, DTYPES[dtype], metadata)
            return _compare(model, scratch, target, dtype)
    except FileExistsError as error:
        raise CheckpointError(
            f"`{target}` exists already. Choose another name, or allow it to be overwritten."
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"`{target}` cannot be written: {reason}.") from error


def _check_options(target: Path, dtype: str) -> None:
    if target.suffix.lower() != ".onnx":
        raise CheckpointError(f"Only .onnx files are exported; `{target}` has another suffix.")
    if dtype not in TOLERANCES:
        raise DeviceError(f"Unknown dtype {dtype!r} of an ONNX file; use {', '.join(TOLERANCES)}.")


def _take_network(source: GPEN | str | Path) -> GPEN:
    """Return the network in float32 on the CPU; one that is there already shares its weights."""
    if not isinstance(source, GPEN):
        return read_checkpoint(catalog.resolve(source)).build()
    tensors = {name: tensor.detach().cpu() for name, tensor in source.state_dict().items()}
    model = build_network(tensors, source.config)
    model.sharpen, model.task = source.sharpen, source.task
    return model


def _write(model: GPEN, scratch: Path, dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
    from ..arch.onnx_graph import write_graph  # imports onnx

    scratch.write_bytes(write_graph(model, dtype, metadata=metadata).SerializeToString())


def _compare(model: GPEN, scratch: Path, target: Path, dtype: str) -> dict[int, float]:
    """Run the new file and our network; return their relative differences by batch size.

    Raises:
        CheckpointError: they differ by more than `TOLERANCES` allows.
    """
    session = open_session(scratch)
    size, file_bytes = model.config.in_size, scratch.stat().st_size
    free = free_system_memory() * MEMORY_SHARE
    differences = {}
    for batch in BATCHES:
        if batch > 1 and estimate_memory(model.config, batch, file_bytes) > free:
            continue
        faces = make_probe(batch, size)
        difference = relative_difference(run_session(session, faces), model(faces))
        if not difference <= TOLERANCES[dtype]:
            raise CheckpointError(_explain_difference(target, batch, difference, dtype))
        differences[batch] = difference
    return differences


def _explain_difference(target: Path, batch: int, difference: float, dtype: str) -> str:
    message = (
        f"`{target}` was not written: run by ONNX Runtime with {batch} faces, it differs from the "
        f"network by {difference:.2g}; at most {TOLERANCES[dtype]:g} is allowed."
    )
    if dtype == "fp32":
        return f"{message} Please report this."
    return f"{message} float16 does not suffice for these weights; export in fp32."
