"""Read, check, describe and convert GPEN checkpoints, and build networks from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..arch import GPEN, GPENConfig
from ..devices import DTYPES, resolve_device, resolve_dtype
from ..errors import CheckpointError, DeviceError, MismatchError
from ..files import sha256
from ..names import RESTORE, TASKS
from ..printable import printable
from . import catalog
from .state_dicts import DTYPE_NAMES, find_network, is_kernel, read_state_dict
from .tensor_files import read_tensor_file, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARPEN_KEY = "gpen.sharpen"
"""The key of `GPEN.sharpen` in the metadata of a safetensors file."""
TASK_KEY = "gpen.task"
"""The key of `GPEN.task` in the metadata of a safetensors file."""
MAX_SHARPEN = 100
"""The largest value of `GPEN.sharpen` that a file may hold."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A GPEN checkpoint that was read and checked.

    Attributes:
        path: the file.
        format: "safetensors", "torch zip" or "torch legacy".
        container: the entry of the file that holds the weights: "flat", "g_ema", …
        state_dict: tensors by their published names, on the CPU, in the dtype of the file.
        config: sizes and widths, read from the shapes of the tensors.
        sharpen: the amount of sharpening after the network, see `GPEN.sharpen`.
        task: what the network was trained for, see `GPEN.task`.
    """

    path: Path
    format: str
    container: str
    state_dict: dict[str, torch.Tensor]
    config: GPENConfig
    sharpen: float = 0.0
    task: str | None = None

    @property
    def dtype(self) -> str:
        """The dtype of most weights, "fp32", "fp16" …; the other dtypes follow in brackets."""
        counts = Counter[str]()
        for tensor in self.state_dict.values():
            counts[DTYPE_NAMES[tensor.dtype]] += tensor.numel()
        first, *others = (name for name, _ in counts.most_common())
        return f"{first} (some {', '.join(others)})" if others else first

    @property
    def parameters(self) -> int:
        """The number of learned parameters, without the fixed blur kernels."""
        return sum(t.numel() for name, t in self.state_dict.items() if not is_kernel(name))

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return sha256(self.path)

    def build(self) -> GPEN:
        """Build a float32 GPEN on the CPU. It shares the tensors that are float32 already."""
        model = build_network(self.state_dict, self.config)
        model.sharpen = self.sharpen
        model.task = self.task
        return model

    def describe(self) -> str:
        """Return the lines that `gpen inspect` prints: `name  value`, the last without a break."""
        config = self.config
        known = catalog.recognise(self.sha256)
        lines = {
            "file": f"{self.path.name} ({self.path.stat().st_size:,} bytes)",
            "container": f"{self.format}, {self.container}",
            "input": f"{config.in_size} × {config.in_size} px",
            "output": f"{config.out_size} × {config.out_size} px",
            "widths": f"{' '.join(map(str, config.widths))} (channels at 4, 8 … px)",
            "latent": f"{config.style_dim} values, {config.mapping_layers} mapping layers",
            "noise": f"{config.noise} (the encoder's features are "
            f"{'appended to' if config.noise == 'concat' else 'added to'} each layer's output)",
            "sharpening": f"{self.sharpen:g}, after the network" if self.sharpen else "no",
            "task": self.task or "not told by the file; restoring faces, most likely",
            "dtype": self.dtype,
            "parameters": f"{self.parameters:,}",
            "sha256": self.sha256,
            "published": known.name if known else "no, or its hash is not published",
        }
        return "\n".join(f"{name:<11} {value}" for name, value in lines.items())


@torch.inference_mode(mode=False)  # weights made in that mode could not be used outside of it
def load_gpen(
    source: str | Path = "builtin",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> GPEN:
    """Load a GPEN that is ready to restore: in evaluation mode, without gradients.

    The network maps crops [N, 3, in_size, in_size] to [N, 3, out_size, out_size], RGB in [-1, 1].
    Its `config` has both sizes. `restore` and `restore_image` take and return values in [0, 1].

    Args:
        source: a `.pth`, `.pt` or `.safetensors` file, or a name that `gpen models` lists, such as
            "GPEN-BFR-512", whose file is searched for in this package, `$GPEN_WEIGHTS` and the
            user's cache. "builtin" is the small model that comes with this package.
        device: "auto", "cpu", "cuda", "cuda:1", "mps" or a `torch.device`. "auto" prefers CUDA,
            then MPS.
        dtype: the dtype of the convolutions: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32",
            "bf16", "fp16" or a `torch.dtype`. The dtype of the file does not matter.

    Returns:
        The network on `device`.

    Raises:
        CheckpointError: there is no such file, or it is not a GPEN that can be used.
        DeviceError: the device or dtype is unknown or not available.

    Example:
        >>> import gpen_core as gpen
        >>> model = gpen.load_gpen("builtin", device="cpu")
        >>> model.config.in_size, model.config.out_size
        (256, 256)
    """
    target = resolve_device(device)
    chosen = resolve_dtype(dtype, target)
    return read_checkpoint(catalog.resolve(source)).build().set_dtype(chosen).to(target)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pth`, `.pt` or `.safetensors` file and check every tensor in it.

    Raises:
        CheckpointError: the file cannot be read safely, or is not a GPEN that can be used.
    """
    path = Path(path)

    def check(contents: Any) -> None:
        try:
            find_network(contents)
        except CheckpointError as error:
            raise CheckpointError(f"`{path}`: {error}") from error

    file = read_tensor_file(path, check=check)
    try:
        tensors, config, container = read_state_dict(file.contents)
        sharpen = _read_sharpen(file.metadata)
        task = _read_task(file.metadata, path)
    except CheckpointError as error:
        raise CheckpointError(f"`{path}`: {error}") from error
    return Checkpoint(path, file.format, container, tensors, config, sharpen, task)


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


def sharpen_metadata(amount: float) -> dict[str, str]:
    """Return the metadata of a safetensors file for `GPEN.sharpen`; 0 needs none."""
    return {SHARPEN_KEY: f"{amount:g}"} if amount else {}


def task_metadata(task: str | None) -> dict[str, str]:
    """Return the metadata of a safetensors file for `GPEN.task`; restoring and None need none."""
    return {TASK_KEY: task} if task not in (None, RESTORE) else {}


def _read_task(metadata: Mapping[str, str], path: Path) -> str | None:
    task = metadata.get(TASK_KEY)
    if task is None:
        return catalog.find_task(path)
    if task not in TASKS:
        raise CheckpointError(
            f"its metadata says `{TASK_KEY}` is `{printable(task)}`; expected one of "
            f"{', '.join(TASKS)}. A newer version may know it."
        )
    return task


def _read_sharpen(metadata: Mapping[str, str]) -> float:
    text = metadata.get(SHARPEN_KEY, "0")
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= MAX_SHARPEN:
        raise CheckpointError(
            f"its metadata says `{SHARPEN_KEY}` is `{printable(text)}`; expected a number from 0 "
            f"to {MAX_SHARPEN}. `gpen convert --sharpen` writes one."
        )
    return amount


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


def build_network(tensors: Mapping[str, torch.Tensor], config: GPENConfig) -> GPEN:
    """Build a float32 GPEN from the tensors of `read_state_dict`, on their device.

    No weight is initialised. The network shares tensors that are float32 and dense already.
    """
    with torch.device("meta"):
        model = GPEN(config)
    dense = {name: _make_dense(tensor.detach().float()) for name, tensor in tensors.items()}
    model.load_state_dict(dense, assign=True)
    return model.eval().requires_grad_(False)


def _make_dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in one of the two layouts that the code reads: channels last or default."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return tensor.contiguous()
