"""Describes checkpoint files for `gpen inspect`, ONNX files with their graph and what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..files import sha256
from ..printable import printable
from ..runners import verification
from ..runners.foreign import check_restorer, describe_values
from . import catalog
from .loading import read_checkpoint
from .onnx import UnreadableGraph, is_onnx_file, read_onnx_graph

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .onnx import Graph

SHOWN_OPERATORS = 8


def describe_file(path: Path) -> str:
    """Return the lines that `gpen inspect` prints: `name  value`, the last without a break.

    Raises:
        CheckpointError: the file cannot be read safely, or it is neither a GPEN nor an ONNX file.
    """
    if not is_onnx_file(path):
        return read_checkpoint(path).describe()
    graph = read_onnx_graph(path)
    try:
        checkpoint = read_checkpoint(path)
    except UnreadableGraph as error:
        return _describe_unread(path, graph, error)
    verified = verification.recall(checkpoint.sha256, graph.main_dtype)
    lines = {**_describe_graph(graph), "engine": "gpen", "verified": verified.describe()}
    return f"{checkpoint.describe()}\n{_format(lines)}"


def _describe_unread(path: Path, graph: Graph, error: UnreadableGraph) -> str:
    digest = sha256(path)
    known = catalog.recognise(digest)
    reason = str(error).removeprefix(f"`{path}` ")
    try:
        check_restorer(path, graph)
        engine = "onnxruntime" if known else "none, except by --engine onnxruntime"
    except CheckpointError as other:
        engine, reason = "none", str(other).removeprefix(f"`{path}` ")
    lines = {
        "file": f"{path.name} ({path.stat().st_size:,} bytes)",
        **_describe_graph(graph),
        "weights": f"{graph.weight_bytes:,} bytes",
        "sha256": digest,
        "published": known.name if known else "no, or its hash is not published",
        "engine": engine,
        "reason": reason,
    }
    return _format(lines)


def _describe_graph(graph: Graph) -> dict[str, str]:
    counts = graph.operators.most_common()
    shown = ", ".join(f"{count} {printable(name, 40)}" for name, count in counts[:SHOWN_OPERATORS])
    others = sum(count for _, count in counts[SHOWN_OPERATORS:])
    producer = printable(graph.producer) or "an unknown program"
    return {
        "graph": f"ONNX, opset {graph.opset}, by {producer}",
        "values": describe_values(graph),
        "operators": shown + (f", {others} others" if others else ""),
    }


def _format(lines: Mapping[str, str]) -> str:
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items())
