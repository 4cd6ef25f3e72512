"""Read the weights of a GPEN from an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .following import follow
from .graph import Graph, name_file, read_onnx_graph
from .protobuf import UnreadableGraph
from .recognise import name_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """The weights of a GPEN that were found in a graph.

    Attributes:
        tensors: by their published names, float32; without the blur kernels, which never differ.
        metadata: texts that the author of the file added.
        dtype: the dtype of most weights of the file: "fp32", "fp16" …
    """

    tensors: dict[str, torch.Tensor]
    metadata: Mapping[str, str]
    dtype: str


def read_onnx(source: str | Path | Graph) -> OnnxNetwork:
    """Find the weights of a GPEN in the graph of an ONNX file.

    Args:
        source: the file, or what `read_onnx_graph` returned for it.

    Raises:
        UnreadableGraph: the file is damaged, or its graph is not one that we can read as a GPEN;
            the message names the node, and what was expected there.
        CheckpointError: the file is missing or cannot be read.
    """
    graph = source if isinstance(source, Graph) else read_onnx_graph(source)
    try:
        _, output = follow(graph)
        tensors = name_tensors(output)
    except UnreadableGraph as error:
        raise name_file(error, graph.path) from error.__cause__
    except OSError as error:
        raise UnreadableGraph(
            f"`{graph.path}` cannot be read: {error.strerror or error}."
        ) from error
    counts = graph.weight_dtypes.most_common(1)
    return OnnxNetwork(tensors, graph.metadata, counts[0][0] if counts else "fp32")
