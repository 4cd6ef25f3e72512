"""Read ONNX files of GPENs: list what they hold, and find the weights in their graphs."""

from __future__ import annotations

import re

from .graph import Graph, GraphValue, Node, read_onnx_graph
from .protobuf import UnreadableGraph
from .tensors import TensorEntry

__all__ = [
    "Graph",
    "GraphValue",
    "Node",
    "TensorEntry",
    "UnreadableGraph",
    "is_onnx",
    "read_onnx_graph",
]

_START = re.compile(rb"\x08[\x01-\x20]")


def is_onnx(head: bytes) -> bool:
    """Whether a file that begins so is an ONNX file: the field `ir_version` and its number."""
    return _START.match(head) is not None
