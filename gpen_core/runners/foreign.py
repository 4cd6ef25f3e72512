"""Tells whether ONNX Runtime can run an ONNX file as a face restorer, and what other files are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import CheckpointError
from ..printable import printable

if TYPE_CHECKING:
    from pathlib import Path

Shape = tuple[int | str | None, ...]


class GraphValue(Protocol):
    """An input or output of an ONNX graph."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def dtype(self) -> str:
        """The name of its dtype, such as "fp32"."""
        ...

    @property
    def shape(self) -> Shape:
        """Its sizes; a text or None where the file leaves one open."""
        ...


class GraphNode(Protocol):
    """An operation of an ONNX graph."""

    @property
    def op(self) -> str:
        """The operator."""
        ...

    @property
    def name(self) -> str:
        """Its name, which often holds those of the layers around it."""
        ...


class GraphOutline(Protocol):
    """The inputs and outputs of an ONNX graph, its operations, and its tensors."""

    @property
    def inputs(self) -> Sequence[GraphValue]:
        """The inputs that a caller gives."""
        ...

    @property
    def outputs(self) -> Sequence[GraphValue]:
        """The outputs."""
        ...

    @property
    def nodes(self) -> Sequence[GraphNode]:
        """The operations."""
        ...

    @property
    def initialisers(self) -> Mapping[str, object]:
        """The stored tensors, by name."""
        ...


FLOATS = ("fp32", "fp16")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
DETECTOR_OUTPUTS = 6
"""A network with so many outputs gives boxes, scores and landmarks at several scales."""


def check_restorer(path: Path, graph: GraphOutline) -> None:
    """Check that a graph maps one picture [N, 3, S, S] of a face to one picture.

    Raises:
        CheckpointError: it does not; the message says what the file looks like.
    """
    inner = next((node.op for node in graph.nodes if node.op in CONTROL_FLOW), None)
    if inner is not None:
        raise CheckpointError(
            f"`{path}` was refused: it holds a graph in a graph (`{inner}`), which a face restorer "
            "does not need and which we do not check."
        )
    if not _is_restorer(graph):
        raise CheckpointError(
            f"`{path}` {name_foreign(graph)}. Expected one float input [N, 3, S, S] and one float "
            f"output of 3 channels; found {describe_values(graph)}."
        )


def name_foreign(graph: GraphOutline) -> str:
    """Say what a graph looks like that is no GPEN, as the end of a sentence about its file."""
    kind = find_kind(graph)
    return "is no GPEN" + (f"; it looks like {kind}" if kind else "")


def find_kind(graph: GraphOutline) -> str | None:
    """Return the kind of network that a graph looks like; None for a GPEN and for all others."""
    return next((kind for matches, kind in _FOREIGN if matches(graph)), None)


def describe_values(graph: GraphOutline) -> str:
    """Name the first inputs and outputs of a graph with their dtypes and shapes."""
    groups = ((graph.inputs, "input"), (graph.outputs, "output"))
    return "; ".join(_describe_group(values, word) for values, word in groups)


def _describe_group(values: Sequence[GraphValue], word: str) -> str:
    shown = ", ".join(
        f"`{printable(value.name)}` {value.dtype} {_describe_shape(value.shape)}"
        for value in values[:4]
    )
    more = f" and {len(values) - 4} more" if len(values) > 4 else ""
    return f"{word}{'s' if len(values) != 1 else ''} {shown or 'none'}{more}"


def _describe_shape(shape: Shape) -> str:
    return f"[{', '.join(printable(str(side or '?'), 20) for side in shape)}]"


def _is_restorer(graph: GraphOutline) -> bool:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return False
    (given,), (made,) = graph.inputs, graph.outputs
    fixed = _is_picture(given) and isinstance(given.shape[2], int) and given.shape[2] > 0
    return fixed and given.shape[2] == given.shape[3] and _is_picture(made)


def _is_picture(value: GraphValue) -> bool:
    shape = value.shape
    return value.dtype in FLOATS and len(shape) == 4 and shape[1] == 3


def _has_other_input(graph: GraphOutline, dimensions: Callable[[Shape], bool]) -> bool:
    """Tell whether a graph has a picture as input, and another input of such a shape."""
    others = [value for value in graph.inputs if not _is_picture(value)]
    return len(others) < len(graph.inputs) and any(dimensions(v.shape) for v in others)


def _names(graph: GraphOutline, part: str) -> bool:
    return any(part in name for name in graph.initialisers) or any(
        part in node.name for node in graph.nodes
    )


def _gives(graph: GraphOutline, matches: Callable[[Shape], bool]) -> bool:
    return bool(graph.outputs) and matches(graph.outputs[0].shape)


_FOREIGN: tuple[tuple[Callable[[GraphOutline], bool], str], ...] = (
    (lambda g: _names(g, "stylegan_decoder"), "a GFPGAN"),
    (
        lambda g: _has_other_input(g, lambda s: len(s) == 2),
        "a face swapper, which takes the features of a second face",
    ),
    (lambda g: _has_other_input(g, lambda s: len(s) < 2), "a CodeFormer, which takes a fidelity"),
    (lambda g: _names(g, "quantize"), "a RestoreFormer or CodeFormer"),
    (lambda g: len(g.outputs) >= DETECTOR_OUTPUTS, "a face detector"),
    (lambda g: _gives(g, lambda s: len(s) == 2), "a network that describes or classifies faces"),
    (
        lambda g: _gives(g, lambda s: len(s) == 4 and isinstance(s[1], int) and s[1] != 3),
        "a network that gives masks or labels",
    ),
    (
        lambda g: any(_is_picture(v) and not isinstance(v.shape[2], int) for v in g.inputs),
        "an upscaler, which takes pictures of any size",
    ),
)
"""Networks that lie in the same folders as GPEN: a test of the graph, and the network in words."""
