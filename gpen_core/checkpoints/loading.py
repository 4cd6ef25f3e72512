"""Read, check, describe and convert GPEN checkpoints, and build networks from them."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from ..arch import GPEN, GPENConfig
from ..devices import resolve_device, resolve_dtype
from ..errors import CheckpointError
from ..files import sha256
from . import catalog
from .engines import choose_engine
from .metadata import read_sharpen, read_task
from .onnx import UnreadableGraph, is_onnx_file, read_onnx, read_onnx_graph
from .state_dicts import DTYPE_NAMES, find_network, is_kernel, read_state_dict
from .tensor_files import read_tensor_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..runners.onnxruntime import OnnxRunner


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A GPEN checkpoint that was read and checked.

    Attributes:
        path: the file.
        format: "safetensors", "torch zip", "torch legacy" or "ONNX".
        container: the entry of the file that holds the weights: "flat", "g_ema" …; for ONNX, the
            graph.
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


@overload
def load_gpen(
    source: str | Path = ...,
    *,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    engine: Literal["gpen"],
    verify: bool = ...,
    on_notice: Callable[[str], None] | None = ...,
) -> GPEN: ...


@overload
def load_gpen(
    source: str | Path = ...,
    *,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    engine: str = ...,
    verify: bool = ...,
    on_notice: Callable[[str], None] | None = ...,
) -> GPEN | OnnxRunner: ...


@torch.inference_mode(mode=False)  # weights made in that mode could not be used outside of it
def load_gpen(
    source: str | Path = "builtin",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    engine: str = "auto",
    verify: bool = True,
    on_notice: Callable[[str], None] | None = None,
) -> GPEN | OnnxRunner:
    """Load a GPEN that is ready to restore: in evaluation mode, without gradients.

    The network maps crops [N, 3, in_size, in_size] to [N, 3, out_size, out_size], RGB in [-1, 1].
    Its `config` has both sizes. `restore` and `restore_image` take and return values in [0, 1].

    Args:
        source: a `.pth`, `.pt`, `.safetensors` or `.onnx` file, or a name that `gpen models`
            lists, such as "GPEN-BFR-512", whose file is searched for in this package,
            `$GPEN_WEIGHTS` and the user's cache. "builtin" is the small model that comes with this
            package.
        device: "auto", "cpu", "cuda", "cuda:1", "mps" or a `torch.device`. "auto" prefers CUDA,
            then MPS.
        dtype: the dtype of the convolutions: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32",
            "bf16", "fp16" or a `torch.dtype`. The dtype of the file does not matter.
        engine: what runs an ONNX file. "gpen" is this network. "onnxruntime" is ONNX Runtime, which
            is slower and computes in the dtype of the file. "auto" takes the network, and ONNX
            Runtime for published files that the network cannot read.
        verify: compare an ONNX file with ONNX Runtime at its first use, if that is installed. The
            user's cache keeps the result. `GPEN_VERIFY=0` turns this off, too.
        on_notice: called with a message if ONNX Runtime runs the file; None warns instead.

    Returns:
        The network on `device`; an `OnnxRunner` if ONNX Runtime runs the file.

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
    found = choose_engine(catalog.resolve(source), engine, read_checkpoint, verify=verify)
    if isinstance(found, Checkpoint):
        return found.build().set_dtype(chosen).to(target)
    return found.open(target, on_notice or (lambda message: warnings.warn(message, stacklevel=3)))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pth`, `.pt`, `.safetensors` or `.onnx` file and check every tensor in it.

    Raises:
        CheckpointError: the file cannot be read safely, or is not a GPEN that can be used. It is an
            `UnreadableGraph` for an ONNX file whose graph is not that of a GPEN.
    """
    path = Path(path)
    if is_onnx_file(path):
        return _read_onnx_checkpoint(path)

    def check(contents: Any) -> None:
        try:
            find_network(contents)
        except CheckpointError as error:
            raise CheckpointError(f"`{path}`: {error}") from error

    file = read_tensor_file(path, check=check)
    try:
        tensors, config, container = read_state_dict(file.contents)
        sharpen = read_sharpen(file.metadata)
        task = read_task(file.metadata, path)
    except CheckpointError as error:
        raise CheckpointError(f"`{path}`: {error}") from error
    return Checkpoint(path, file.format, container, tensors, config, sharpen, task)


def _read_onnx_checkpoint(path: Path) -> Checkpoint:
    graph = read_onnx_graph(path)
    network = read_onnx(graph)
    try:
        tensors, config, _ = read_state_dict(network.tensors)
        sharpen = read_sharpen(network.metadata)
        task = read_task(network.metadata, path)
    except CheckpointError as error:
        raise UnreadableGraph(f"`{path}` cannot be read as a GPEN: {error}") from error
    container = f"graph of {len(graph.nodes):,} nodes, opset {graph.opset}"
    return Checkpoint(path, "ONNX", container, tensors, config, sharpen, task)


def build_network(tensors: Mapping[str, torch.Tensor], config: GPENConfig) -> GPEN:
    """Build a float32 GPEN from the tensors of `read_state_dict`, on their device.

    No weight is initialised. The network shares tensors that are float32 and dense already.
    """
    with torch.device("meta"):
        model = GPEN(config)
    dense = {name: _make_dense(tensor.detach().float()) for name, tensor in tensors.items()}
    model.load_state_dict(dense, assign=True)
    return model.train(mode=False).requires_grad_(False)


def _make_dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in one of the two layouts that the code reads: channels last or default."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return tensor.contiguous()
