"""Chooses what runs an ONNX file: our own network, which is faster, or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import CheckpointError, MismatchError
from ..files import sha256
from ..names import AUTO, ENGINES
from ..runners import verification
from ..runners.foreign import check_restorer, find_kind
from ..runners.onnxruntime import OnnxRunner
from . import catalog
from .metadata import read_sharpen
from .onnx import Graph, TensorEntry, UnreadableGraph, is_onnx_file, read_onnx_graph

if TYPE_CHECKING:
    import torch

    from ..runner import RunnerConfig

OURS, ONNX_RUNTIME = ENGINES


class Reading(Protocol):
    """A checkpoint that our network reads: `loading.Checkpoint`."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def config(self) -> RunnerConfig:
        """The sizes of the network."""
        ...


R = TypeVar("R", bound=Reading)


@dataclass(frozen=True)
class SlowGraph:
    """An ONNX file that ONNX Runtime runs.

    Attributes:
        path: the file.
        graph: its inputs, outputs and metadata.
        reason: why our network does not run it.
    """

    path: Path
    graph: Graph
    reason: str

    def open(self, device: torch.device, on_notice: Callable[[str], None]) -> OnnxRunner:
        """Let ONNX Runtime open the file.

        Args:
            device: the device on which it computes if it can.
            on_notice: called with a message that says that it is slower, and why.

        Raises:
            CheckpointError: ONNX Runtime is not installed, or refuses the file.
        """
        run = OnnxRunner(self.path, device, sharpen=read_sharpen(self.graph.metadata))
        on_notice(
            f"`{self.path.name}` is run by ONNX Runtime ({run.provider}), which is slower than "
            f"this program's own network: {self.reason}."
        )
        return run


def choose_engine(
    path: Path,
    engine: str,
    read: Callable[[Path], R],
    *,
    verify: bool = True,
) -> R | SlowGraph:
    """Read a checkpoint, or decide that ONNX Runtime runs it.

    Args:
        path: a checkpoint file of any kind.
        engine: "auto", "gpen" or "onnxruntime". "auto" leaves those ONNX files to ONNX Runtime that
            are known to be GPENs, but whose graph cannot be read or was read wrongly.
        read: reads a checkpoint for our own network.
        verify: compare a file that was read with ONNX Runtime once, if that is installed.

    Raises:
        CheckpointError: the file cannot be used with this engine.
        MismatchError: the engine is unknown.
    """
    if engine not in (AUTO, *ENGINES):
        raise MismatchError(f"Unknown engine {engine!r}; use {', '.join((AUTO, *ENGINES))}.")
    is_onnx_graph = is_onnx_file(path)
    if engine == ONNX_RUNTIME:
        if not is_onnx_graph:
            raise CheckpointError(
                f"`{path}` is no ONNX file, so ONNX Runtime cannot run it. Choose the engine auto."
            )
        return _leave(path, "you chose the engine onnxruntime")
    try:
        checkpoint = read(path)
    except UnreadableGraph as error:
        if engine == OURS:
            raise
        return _leave_if_known(path, error)
    if is_onnx_graph and verify and verification.is_wanted():
        return _check_reading(checkpoint, engine)
    return checkpoint


def _check_reading(checkpoint: R, engine: str) -> R | SlowGraph:
    """Compare a file that was read with ONNX Runtime once; leave it to that if they differ."""
    path = checkpoint.path
    dtype = read_onnx_graph(path).main_dtype
    found = verification.verify_once(path, sha256(path), dtype, checkpoint.config)
    if not found.is_wrong:
        return checkpoint
    reason = f"our reading of it {found.describe().removeprefix('no: it ')}"
    if engine == OURS:
        raise CheckpointError(f"`{path}` cannot be used: {reason}. Choose the engine onnxruntime.")
    return _leave(path, reason)


def _leave(path: Path, reason: str) -> SlowGraph:
    """Leave a file to ONNX Runtime, if it is safe and its inputs and outputs are a restorer's."""
    return SlowGraph(path, _check(path), reason)


def _check(path: Path) -> Graph:
    """List a graph, and check what ONNX Runtime does not: that it reads no files elsewhere.

    Raises:
        CheckpointError: it does, or its inputs and outputs are not those of a restorer.
    """
    graph = read_onnx_graph(path)
    check_restorer(path, graph)
    attributes = (value for node in graph.nodes for value in node.attributes.values())
    for tensor in (*graph.initialisers.values(), *attributes):
        if isinstance(tensor, TensorEntry):
            try:
                tensor.check_place()
            except UnreadableGraph as error:
                raise CheckpointError(f"`{path}` {error}") from error
    return graph


def _leave_if_known(path: Path, error: UnreadableGraph) -> SlowGraph:
    """Leave a file to ONNX Runtime if its hash is that of a published GPEN.

    Raises:
        CheckpointError: it is not; the message says what it looks like.
    """
    graph = _check(path)
    entry = catalog.recognise(sha256(path))
    if entry is not None and entry.kind == "gpen":
        reason = str(error).removeprefix(f"`{path}` ")
        return SlowGraph(path, graph, f"it {reason}".rstrip("."))
    kind = find_kind(graph)
    if kind is not None:
        raise UnreadableGraph(
            f"`{path}` is no GPEN; it looks like {kind}. The engine onnxruntime runs it as it is."
        ) from error
    raise UnreadableGraph(
        f"{error} If it restores faces all the same, the engine onnxruntime runs it as it is."
    ) from error
