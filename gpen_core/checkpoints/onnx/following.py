"""Follow the graph of an ONNX file from its input to its output, node by node, for one face."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...printable import printable
from .arithmetic import SYMBOLIC
from .axes import Unfit
from .bases import Input
from .channels import SPARE, check_growth
from .constants import FOLDERS, attribute_int, attribute_ints, ints, simplify
from .layers import LAYERS
from .moving import MOVERS, axis_of, constant, first, take
from .protobuf import UnreadableGraph
from .values import Map, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .graph import Graph, GraphValue, Node

MAX_SIZE = 4096
"""The largest side of an input in pixels."""
MAX_NODES = 100_000
"""Nodes of a graph. An export of a GPEN has up to 5,000."""


class _Memory:
    """Counts the elements of constants that are alive, and of all that were ever made."""

    def __init__(self, limit: int) -> None:
        self.limit, self.alive, self.made = limit, 0, 0

    def add(self, value: Value) -> None:
        if isinstance(value, torch.Tensor):
            self.alive += value.numel()
            self.made += value.numel()

    def remove(self, value: Value) -> None:
        if isinstance(value, torch.Tensor):
            self.alive -= value.numel()

    def check(self, coming: int) -> None:
        if self.alive + coming > self.limit or self.made > 64 * self.limit:
            raise Unfit(f"constants of fewer than {self.limit:,} elements together")


def follow(graph: Graph) -> tuple[int, Value]:
    """Follow the graph of one face; return the side of its input in pixels, and the output.

    Raises:
        UnreadableGraph: a node computes something that no GPEN computes; the message names it.
    """
    entry, target = _find_input(graph), _find_output(graph)
    size = entry.shape[2]
    assert isinstance(size, int)
    nodes = _choose_nodes(graph, target.name)
    uses = Counter(name for node in nodes for name in node.inputs)
    uses[target.name] += 1
    stored = sum(tensor.elements for tensor in graph.initialisers.values())
    memory = _Memory(4 * stored + 40 * size * size + SPARE)
    values: dict[str, Value] = {entry.name: Map.of(Input("the input", (3, size, size)))}
    for node in nodes:
        inputs = [_find(graph, node, name, values, memory) for name in node.inputs]
        try:
            memory.check(_expect(node, inputs))
            results = _compute(node, inputs)
        except Unfit as error:
            raise refuse(node, str(error)) from error
        except (RuntimeError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise refuse(node, f"inputs that fit together ({type(error).__name__})") from error
        for name, value in zip(node.outputs, results, strict=False):
            memory.add(value)
            values[name] = value
        for name in node.inputs:
            uses[name] -= 1
            if not uses[name] and name in values:
                memory.remove(values.pop(name))
    return size, values[target.name]


def refuse(node: Node, expected: str) -> UnreadableGraph:
    """Return the error of a node that no GPEN has."""
    domain = f"{node.domain}." if node.domain else ""
    return UnreadableGraph(
        f"cannot be read as a GPEN: at the node `{printable(node.name)}` "
        f"({printable(domain + node.op)}), expected {expected}."
    )


def _find(
    graph: Graph, node: Node, name: str, values: dict[str, Value], memory: _Memory
) -> Value | None:
    if not name:
        return None
    if name not in values:
        if name not in graph.initialisers:
            raise refuse(node, f"that its input `{printable(name)}` is computed before it")
        entry = graph.initialisers[name]
        values[name] = simplify(entry.read())
        memory.add(values[name])
    return values[name]


def _expect(node: Node, inputs: Sequence[Value | None]) -> int:
    """Return how many elements a result may have that no check of its own bounds."""
    counts = [value.numel() for value in inputs if isinstance(value, torch.Tensor)]
    if node.op == "Concat":
        return sum(counts)
    return math.prod(counts) if node.op == "Gather" and len(counts) == 2 else max(counts, default=0)


def _compute(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    if node.domain:
        raise Unfit("only ONNX's own operators")
    if node.op == "Split":
        return _split(node, inputs)
    constants = [value for value in inputs if value is None or isinstance(value, torch.Tensor)]
    if node.op in MOVERS:
        return [MOVERS[node.op](node, inputs)]
    if len(constants) == len(inputs) and node.op in FOLDERS:
        _check_broadcast(node, constants)
        return [FOLDERS[node.op](node, constants)]
    if len(constants) == len(inputs) and node.op in ("ReduceSum", "ReduceMean", "ReduceProd"):
        return [_reduce_constant(node, inputs)]
    if node.op in ("Cast", "CastLike"):
        return [_pass_cast(node, inputs)]
    for table in (SYMBOLIC, LAYERS):
        if node.op in table:
            return [table[node.op](node, inputs)]
    raise Unfit("an operator that GPENs have")


def _check_broadcast(node: Node, constants: Sequence[torch.Tensor | None]) -> None:
    shapes = [value.shape for value in constants if value is not None]
    if node.op in ("Constant", "ConstantOfShape", "Range", "Cast") or not shapes:
        return
    check_growth(*shapes)


def _pass_cast(node: Node, inputs: Sequence[Value | None]) -> Value:
    if node.op == "Cast" and attribute_int(node, "to", 1) not in (1, 10, 11, 16):
        raise Unfit("a conversion to floating-point numbers")
    return first(inputs)


def _reduce_constant(node: Node, inputs: Sequence[Value | None]) -> torch.Tensor:
    value = first(inputs)
    assert isinstance(value, torch.Tensor)
    given = constant(inputs, 1)
    axes = attribute_ints(node, "axes") if given is None else ints(given)
    numbers = range(value.ndim) if axes is None else [axis_of(value, axis) for axis in axes]
    keeps = bool(attribute_int(node, "keepdims", 1))
    for axis in sorted(set(numbers), reverse=True):
        if node.op == "ReduceProd":
            value = value.prod(dim=axis, keepdim=keeps)
        elif node.op == "ReduceSum":
            value = value.sum(dim=axis, keepdim=keeps)
        else:
            value = value.mean(dim=axis, keepdim=keeps)
    return value


def _split(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    value = first(inputs)
    axis = axis_of(value, attribute_int(node, "axis", 0))
    given = constant(inputs, 1)
    sizes = attribute_ints(node, "split") if given is None else ints(given)
    total, count = value.shape[axis], len(node.outputs)
    if sizes is None:
        size = -(-total // max(count, 1))
        sizes = [max(0, min(size, total - i * size)) for i in range(count)]
    if sum(sizes) != total or min(sizes) < 1 or len(sizes) != count:
        raise Unfit(f"parts of {total} places together")
    starts = np.cumsum([0, *sizes])
    return [take(value, axis, np.arange(a, b)) for a, b in pairwise(starts)]


def _choose_nodes(graph: Graph, target: str) -> list[Node]:
    """Return the nodes that the output needs, in the file's order."""
    if len(graph.nodes) > MAX_NODES:
        raise UnreadableGraph(f"cannot be read as a GPEN: it has more than {MAX_NODES:,} nodes.")
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    wanted, stack = set[int](), [target]
    while stack:
        node = makers.get(stack.pop())
        if node is not None and id(node) not in wanted:
            wanted.add(id(node))
            stack += node.inputs
    return [node for node in graph.nodes if id(node) in wanted]


def _find_input(graph: Graph) -> GraphValue:
    found = [v for v in graph.inputs if len(v.shape) == 4]
    if len(graph.inputs) != 1 or len(found) != 1:
        names = ", ".join(f"`{printable(v.name)}` {list(v.shape)}" for v in graph.inputs[:4])
        raise UnreadableGraph(
            f"cannot be read as a GPEN: expected one input [1, 3, S, S], found {names or 'none'}."
        )
    batch, channels, rows, columns = found[0].shape
    sizes = isinstance(rows, int) and rows == columns and 8 <= rows <= MAX_SIZE
    if not sizes or channels != 3 or (isinstance(batch, int) and batch != 1):
        raise UnreadableGraph(
            "cannot be read as a GPEN: expected an input [1, 3, S, S] of a fixed size S up to "
            f"{MAX_SIZE} px, found {printable(str(list(found[0].shape)))}."
        )
    return found[0]


def _find_output(graph: Graph) -> GraphValue:
    if not graph.outputs:
        raise UnreadableGraph("cannot be read as a GPEN: it has no output.")
    return graph.outputs[0]
