"""From a file to a network: reads, checks, describes and converts GPEN checkpoints."""

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
from . import catalog
from .state_dicts import DTYPE_NAMES, is_kernel, settle
from .tensor_files import read_tensor_file, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARPEN_KEY = "gpen.sharpen"
MOST_SHARPEN = 100


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A GPEN checkpoint, read and checked.

    Attributes:
        path: the file.
        format: "safetensors", "torch zip" or "torch legacy".
        container: where in the file the weights lie: "flat", "g_ema", …
        state_dict: published tensor names to tensors, on the CPU in the dtype of the file.
        config: sizes and widths, read from the tensors' shapes.
        sharpen: how much the faces are sharpened after the network, see `GPEN.sharpen`.
    """

    path: Path
    format: str
    container: str
    state_dict: dict[str, torch.Tensor]
    config: GPENConfig
    sharpen: float = 0.0

    @property
    def dtype(self) -> str:
        """What most weights are stored as, "fp32", "fp16" …; others follow in brackets."""
        counts = Counter[str]()
        for tensor in self.state_dict.values():
            counts[DTYPE_NAMES[tensor.dtype]] += tensor.numel()
        first, *others = (name for name, _ in counts.most_common())
        return f"{first} (some {', '.join(others)})" if others else first

    @property
    def parameters(self) -> int:
        """How many numbers were learned; the fixed blur kernels are not counted."""
        return sum(t.numel() for name, t in self.state_dict.items() if not is_kernel(name))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return sha256(self.path)

    def build(self) -> GPEN:
        """A float32 GPEN on the CPU; tensors that are float32 already are shared, not copied."""
        model = _assemble(self.state_dict, self.config)
        model.sharpen = self.sharpen
        return model

    def describe(self) -> str:
        """What `gpen inspect` prints: one `name  value` line each, no line break at the end."""
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
            "dtype": self.dtype,
            "parameters": f"{self.parameters:,}",
            "sha256": self.sha256,
            "published": known.name if known else "no, or its hash is not published",
        }
        return "\n".join(f"{name:<11} {value}" for name, value in lines.items())


@torch.inference_mode(mode=False)  # its weights would be of no use outside of that mode
def load_gpen(
    source: str | Path = "builtin",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> GPEN:
    """Load a GPEN, ready to restore: in evaluation mode, without gradients.

    Args:
        source: a `.pth`, `.pt` or `.safetensors` file, or a name of the catalogue, such as
            "GPEN-BFR-512", whose file is looked for in `catalog.search_folders()`. "builtin" is
            the small model that comes with this package.
        device: "auto", "cpu", "cuda", "cuda:1", "mps" or a `torch.device`.
        dtype: what convolutions compute in: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32", "bf16",
            "fp16". What the file stores does not matter.

    Raises:
        CheckpointError: there is no such file, or it is not a GPEN that can be used.
        DeviceError: the device or dtype is unknown or not to be had here.
    """
    target = resolve_device(device)
    computed = resolve_dtype(dtype, target)
    return read_checkpoint(catalog.resolve(source)).build().set_dtype(computed).to(target)


def build_gpen(state_dict: Mapping[str, Any]) -> GPEN:
    """Build a float32 GPEN from tensors in memory, on the device they are on.

    Args:
        state_dict: published tensor names to tensors of any float dtype, bare or in one of the
            containers that files use. Tensors that are float32 already, and lie in memory as usual,
            are shared, not copied.

    Raises:
        CheckpointError: these are not the tensors of a GPEN that can be used.
    """
    tensors, config, _ = settle(state_dict)
    return _assemble(tensors, config)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pth`, `.pt` or `.safetensors` file and check every tensor in it.

    Raises:
        CheckpointError: the file cannot be read safely, or is not a GPEN that can be used.
    """
    path = Path(path)
    file = read_tensor_file(path)
    try:
        tensors, config, container = settle(file.contents)
        sharpen = _read_sharpen(file.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"`{path}`: {error}") from error
    return Checkpoint(path, file.format, container, tensors, config, sharpen)


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    dtype: str | None = None,
    sharpen: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint as a flat `.safetensors` file, whole or not at all.

    Args:
        source: a file, or a name of the catalogue.
        target: a path that ends in `.safetensors`.
        dtype: "fp32", "fp16" or "bf16"; None keeps each tensor's own.
        sharpen: what the file is to say of how much its faces are sharpened, `GPEN.sharpen`; None
            keeps what it says.
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
    if sharpen is not None and not 0 <= sharpen <= MOST_SHARPEN:
        raise MismatchError(f"sharpen must lie in 0 … {MOST_SHARPEN}, found {sharpen:g}.")
    checkpoint = read_checkpoint(catalog.resolve(source))
    tensors = checkpoint.state_dict
    if dtype is not None:
        stored = DTYPES[dtype]
        tensors = {name: rounded(name, tensor, stored) for name, tensor in tensors.items()}
    metadata = sharpen_metadata(checkpoint.sharpen if sharpen is None else sharpen)
    write_safetensors(tensors, target, overwrite=overwrite, metadata=metadata)
    return target


def sharpen_metadata(amount: float) -> dict[str, str]:
    """What a safetensors file says of `GPEN.sharpen`."""
    return {SHARPEN_KEY: f"{amount:g}"} if amount else {}


def _read_sharpen(metadata: Mapping[str, str]) -> float:
    text = metadata.get(SHARPEN_KEY, "0")
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= MOST_SHARPEN:
        raise CheckpointError(
            f"its metadata says `{SHARPEN_KEY}` is {text!r}; expected a number from 0 to "
            f"{MOST_SHARPEN}. `gpen convert --sharpen` writes one."
        )
    return amount


def check_output(target: str | Path, dtype: str | None) -> Path:
    """Check what a checkpoint is to be written as, before any is read; `target` as a path.

    Raises:
        CheckpointError: `target` does not end in `.safetensors`.
        DeviceError: the dtype is unknown.
    """
    target = Path(target)
    if target.suffix.lower() != ".safetensors":
        raise CheckpointError(f"Only .safetensors files are written; `{target}` names another.")
    if dtype is not None and dtype not in DTYPES:
        raise DeviceError(f"Unknown dtype {dtype!r}; use {', '.join(DTYPES)}.")
    return target


def rounded(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The weight of that name in another dtype.

    Raises:
        CheckpointError: it holds values that are too large.
    """
    stored = tensor.to(dtype)
    if not torch.isfinite(stored).all():
        raise CheckpointError(
            f"`{name}` holds values too large for {DTYPE_NAMES[dtype]}, which ends at "
            f"{torch.finfo(dtype).max:,.0f}. Use bf16 or fp32."
        )
    return stored


def _assemble(tensors: Mapping[str, torch.Tensor], config: GPENConfig) -> GPEN:
    """Put checked tensors into a network, initialising none and copying none without need."""
    with torch.device("meta"):
        model = GPEN(config)
    laid_out = {name: _without_gaps(t.detach().float()) for name, t in tensors.items()}
    model.load_state_dict(laid_out, assign=True)
    return model.eval().requires_grad_(False)


def _without_gaps(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in the usual order or as convolutions have it, which is what all code here reads."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return tensor.contiguous()
