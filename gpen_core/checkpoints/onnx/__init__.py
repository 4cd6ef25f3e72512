"""Read ONNX files of GPENs: list what they hold, and find the weights in their graphs."""

from __future__ import annotations

import re
from pathlib import Path

from ...files import is_file
from .graph import Graph, GraphValue, Node, read_onnx_graph
from .protobuf import UnreadableGraph
from .reading import OnnxNetwork, read_onnx
from .tensors import TensorEntry

__all__ = [
    "Graph",
    "GraphValue",
    "Node",
    "OnnxNetwork",
    "TensorEntry",
    "UnreadableGraph",
    "is_onnx",
    "is_onnx_file",
    "read_onnx",
    "read_onnx_graph",
]

_START = re.compile(rb"\x08[\x01-\x20]")


def is_onnx(head: bytes) -> bool:
    """Whether a file that begins so is an ONNX file: the field `ir_version` and its number.

    Args:
        head: at least 9 bytes, because a safetensors file may begin alike; there "{" follows.
    """
    return _START.match(head) is not None and head[8:9] != b"{"


def is_onnx_file(path: Path) -> bool:
    """Whether this is a file that begins as an ONNX file does; False if it cannot be opened."""
    if not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            return is_onnx(file.read(9))
    except OSError:
        return False
