"""The functions that a pickle may call, as makers of outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .outlines import Node, OutlineTensor, build_tensor, damaged, is_key, refused

if TYPE_CHECKING:
    from collections.abc import Callable


def is_count(value: Any) -> bool:
    """Whether a value is a whole number, 0 or more."""
    return type(value) is int and value >= 0


def items_of(value: Any) -> list[Any]:
    """Return the items of a tuple or list."""
    if not isinstance(value, Node) or value.kind not in ("tuple", "list"):
        raise damaged("its pickle lacks a tuple where one belongs")
    return value.items


def _make_dict(pairs: Any = None) -> Node:
    """Return an OrderedDict; Python 2 gave it its items as a list of pairs."""
    node = Node("OrderedDict", {})
    for pair in items_of(pairs) if pairs is not None else ():
        node.set_items(items_of(pair))
    return node


def _make_counter(counts: Any = None) -> Node:
    if counts is not None and (not isinstance(counts, Node) or counts.kind != "dict"):
        raise refused("its pickle makes a Counter of something that is no dictionary")
    return Node.of("Counter", [] if counts is None else [counts])


def _make_set(items: Any = None) -> Node:
    values = [] if items is None else items_of(items)
    if not all(is_key(value) for value in values):
        raise refused("its pickle makes a set of more than texts and numbers")
    return Node.of("set", values)


def _make_size(sizes: Any) -> Node:
    return Node.of("tuple", items_of(sizes))


def _make_device(name: Any, index: Any = 0) -> Node:
    if not isinstance(name, str) or len(name) > 32 or not is_count(index):
        raise damaged("its pickle describes a device wrongly")
    return Node("device", name)


def _make_parameter(tensor: Any, *_: Any) -> OutlineTensor:
    if not isinstance(tensor, OutlineTensor):
        raise damaged("its pickle makes a parameter of something that is no tensor")
    return tensor


MAKERS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _make_dict,
    "collections Counter": _make_counter,
    "builtins set": _make_set,
    "__builtin__ set": _make_set,
    "torch Size": _make_size,
    "torch device": _make_device,
    "torch._utils _rebuild_tensor": build_tensor,
    "torch._utils _rebuild_tensor_v2": build_tensor,
    "torch._utils _rebuild_parameter": _make_parameter,
}
"""Functions that a pickle may call, and the outline of their results."""
