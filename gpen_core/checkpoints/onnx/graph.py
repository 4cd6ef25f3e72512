"""List what an ONNX file holds: nodes, inputs, outputs and tensors, but no numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import CheckpointError
from ...printable import printable
from ..tensor_files import refuse_special
from .protobuf import MAX_TEXT, Source, Span, damaged, float_of, signed, span_of
from .tensors import DTYPE_NAMES, TensorEntry, list_ints, list_tensor, read_pair

if TYPE_CHECKING:
    from .protobuf import Field

Attribute = int | float | str | list[int] | list[float] | TensorEntry | None
"""The value of a node's attribute; None for a kind that no GPEN has, such as a graph."""

_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _GRAPH, _OPSET, _METADATA = 1, 2, 3, 7, 8, 14
_NODE, _TENSOR, _INPUT, _OUTPUT, _SPARSE = 1, 5, 11, 12, 15


@dataclass(frozen=True)
class Node:
    """An operation of the graph.

    Attributes:
        op: the operator: "Conv", "Mul" …
        domain: the set of operators that it is from; "" for ONNX's own.
        name: the node's name, or the name of its first output.
        inputs: names of values; "" for an optional input that is left out.
        outputs: names of values.
        attributes: by name.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class GraphValue:
    """An input or an output of the graph.

    Attributes:
        name: its name.
        dtype: "fp32", "fp16" …
        shape: each axis' size; a name, or None, where the file leaves it free.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(eq=False)
class Graph:
    """The contents of an ONNX file without the numbers of its tensors.

    Attributes:
        path: the file.
        ir_version: the version of the format.
        producer: the program that wrote it, and its version.
        opsets: versions of the operator sets, by domain; ONNX's own is "".
        nodes: the operations, in the file's order.
        initialisers: the stored tensors, by name.
        inputs: the inputs that are no initialisers.
        outputs: the outputs.
        metadata: texts that the author added.
    """

    path: Path
    ir_version: int = 0
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    initialisers: dict[str, TensorEntry] = field(default_factory=dict)
    inputs: list[GraphValue] = field(default_factory=list)
    outputs: list[GraphValue] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators; 0 if the file does not say it."""
        return self.opsets.get("", self.opsets.get("ai.onnx", 0))

    @property
    def operators(self) -> Counter[str]:
        """How often the graph has each operator; those of other domains as "domain.operator"."""
        return Counter(f"{n.domain}.{n.op}" if n.domain else n.op for n in self.nodes)

    @property
    def weight_bytes(self) -> int:
        """The bytes of all initialisers."""
        return sum(tensor.nbytes for tensor in self.initialisers.values())

    @property
    def weight_dtypes(self) -> Counter[str]:
        """The number of elements of the initialisers, by dtype."""
        counts = Counter[str]()
        for tensor in self.initialisers.values():
            counts[tensor.dtype_name] += tensor.elements
        return counts

    @property
    def main_dtype(self) -> str:
        """ "fp16" if any weight is stored so, else "fp32"; it tells how exact a result can be."""
        return "fp16" if {"fp16", "bf16"} & {*self.weight_dtypes} else "fp32"


def read_onnx_graph(path: str | Path) -> Graph:
    """List what an ONNX file holds. The numbers of its tensors are not read.

    Raises:
        UnreadableGraph: the file is damaged, or no ONNX file.
        CheckpointError: the file is missing or cannot be read.
    """
    path = Path(path)
    try:
        refuse_special(path)
        with path.open("rb") as file:
            source = Source(file)
            return _read_model(source, path)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file `{path}`.") from error
    except OSError as error:
        raise CheckpointError(f"`{path}` cannot be read: {error.strerror or error}.") from error
    except CheckpointError as error:
        raise name_file(error, path) from error.__cause__


def name_file(error: CheckpointError, path: Path) -> CheckpointError:
    """Return the error with the file's name before its message, if it is not there yet."""
    message = str(error)
    return error if f"`{path}`" in message else type(error)(f"`{path}` {message}")


def _read_model(source: Source, path: Path) -> Graph:
    graph = Graph(path)
    places: list[Span] = []
    producer = {_PRODUCER: "", _PRODUCER_VERSION: ""}
    for item in source.fields(Span(0, source.size)):
        if item.number == _IR_VERSION:
            graph.ir_version = signed(item.value)
        elif item.number in producer:
            producer[item.number] = source.text(span_of(item))
        elif item.number == _GRAPH:
            places.append(span_of(item))
        elif item.number == _OPSET:
            domain, version = _read_opset(source, span_of(item))
            graph.opsets[domain] = version
        elif item.number == _METADATA and span_length(item) <= MAX_TEXT:
            key, value = read_pair(source, span_of(item))
            graph.metadata[key] = value
    graph.producer = " ".join(producer.values()).strip()
    if len(places) != 1 or graph.ir_version < 1:
        raise damaged(f"it has {len(places)} graphs; expected 1")
    _read_graph(source, places[0], graph)
    return graph


def span_length(item: Field) -> int:
    """Return the bytes of a field's contents."""
    span = span_of(item)
    return span.end - span.start


def _read_graph(source: Source, place: Span, graph: Graph) -> None:
    inputs: list[GraphValue] = []
    for item in source.fields(place):
        if item.number == _NODE:
            graph.nodes.append(_read_node(source, span_of(item), graph.path))
        elif item.number == _TENSOR:
            tensor = list_tensor(source, span_of(item), graph.path)
            if tensor.name in graph.initialisers:
                raise damaged(f"two tensors are called `{printable(tensor.name)}`")
            graph.initialisers[tensor.name] = tensor
        elif item.number == _INPUT:
            inputs.append(_read_value(source, span_of(item)))
        elif item.number == _OUTPUT:
            graph.outputs.append(_read_value(source, span_of(item)))
        elif item.number == _SPARSE:
            raise damaged("it has sparse tensors; expected dense ones")
    # Before IR version 4, initialisers are listed among the inputs, too.
    graph.inputs = [value for value in inputs if value.name not in graph.initialisers]


def _read_node(source: Source, place: Span, path: Path) -> Node:
    names: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: [], 7: []}
    attributes: dict[str, Attribute] = {}
    for item in source.fields(place):
        if item.number in names:
            names[item.number].append(source.text(span_of(item)))
        elif item.number == 5:
            name, value = _read_attribute(source, span_of(item), path)
            attributes[name] = value
    inputs, outputs = tuple(names[1]), tuple(names[2])
    op, domain = "".join(names[4][-1:]), "".join(names[7][-1:])
    name = "".join(names[3][-1:]) or next(iter(outputs), "")
    return Node(op, "" if domain == "ai.onnx" else domain, name, inputs, outputs, attributes)


_FLOAT, _INT, _TEXT, _VALUE, _FLOATS, _INTS, _KIND = 2, 3, 4, 5, 7, 8, 20


def _read_attribute(source: Source, place: Span, path: Path) -> tuple[str, Attribute]:
    name, value, kind = "", None, 0
    floats: list[float] = []
    ints: list[int] = []
    for item in source.fields(place):
        if item.number == 1:
            name = source.text(span_of(item))
        elif item.number == _FLOATS:
            floats += _list_floats(source, item)
        elif item.number == _INTS:
            ints += list_ints(source, item)
        elif item.number == _KIND:
            kind = signed(item.value)
        elif item.number in (_FLOAT, _INT, _TEXT, _VALUE):
            value = _read_single(source, item, path)
    lists: dict[int, Attribute] = {6: floats, 7: ints}
    return name, lists.get(kind, value if value is not None else (ints or floats or None))


def _read_single(source: Source, item: Field, path: Path) -> Attribute:
    if item.number == _FLOAT:
        return float_of(item.value)
    if item.number == _INT:
        return signed(item.value)
    if item.number == _VALUE:
        return list_tensor(source, span_of(item), path)
    return source.text(span_of(item)) if span_length(item) <= MAX_TEXT else None


def _list_floats(source: Source, item: Field) -> list[float]:
    if isinstance(item.value, int):
        return [float_of(item.value)]
    data = source.read(*item.value) if span_length(item) <= MAX_TEXT else b""
    words = range(0, len(data) - 3, 4)
    return [float_of(int.from_bytes(data[i : i + 4], "little")) for i in words]


def _read_opset(source: Source, place: Span) -> tuple[str, int]:
    domain, version = "", 0
    for item in source.fields(place):
        if item.number == 1:
            domain = source.text(span_of(item))
        elif item.number == 2:
            version = signed(item.value)
    return domain, version


def _read_value(source: Source, place: Span) -> GraphValue:
    name, dtype = "", "unknown"
    shape: list[int | str | None] = []
    for item in source.fields(place):
        if item.number == 1:
            name = source.text(span_of(item))
        elif item.number == 2:
            for kind in source.fields(span_of(item)):
                if kind.number == 1:  # a tensor; a GPEN has no sequences or maps
                    dtype, shape = _read_tensor_type(source, span_of(kind))
    return GraphValue(name, dtype, tuple(shape))


def _read_tensor_type(source: Source, place: Span) -> tuple[str, list[int | str | None]]:
    dtype = "unknown"
    shape: list[int | str | None] = []
    for item in source.fields(place):
        if item.number == 1:
            number = signed(item.value)
            dtype = DTYPE_NAMES.get(number, f"type {number}")
        elif item.number == 2:
            axes = source.fields(span_of(item))
            places = [span_of(axis) for axis in axes if axis.number == 1]
            shape += [_read_axis(source, place) for place in places]
    return dtype, shape


def _read_axis(source: Source, place: Span) -> int | str | None:
    size: int | str | None = None
    for item in source.fields(place):
        if item.number == 1:
            size = signed(item.value)
        elif item.number == 2:
            size = source.text(span_of(item))
    return size
