"""Walk a pickle and decide whether PyTorch may unpickle it. Nothing is built and nothing is run.

PyTorch's restricted unpickler runs no code, but a few bytes can still make it compute for hours or
fill the memory. This walk follows the same opcodes and keeps only an outline of every value. It
refuses all that no state dict needs, and it bounds the memory and time of the rest.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import CheckpointError
from ..printable import printable
from .outlines import ELEMENT_SIZES, Node, Storages, damaged, refused
from .pickle_calls import MAKERS, is_count, items_of

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPCODES = 500_000
"""Opcodes of one pickle. A training state of GPEN-2048 has about 100,000."""
MAX_TEXT = 1 << 16
"""Bytes of one string."""
MAX_TEXTS = 1 << 24
"""Bytes of all strings."""
MAX_MARKS = 256
"""Marks that are open at a time; each nested container opens one or two."""
MAX_TENSORS = 20_000
"""Tensors of one pickle. PyTorch needs about 10 µs and 1 kB to build one."""
DTYPES = {
    "float16", "float32", "float64", "bfloat16", "half", "float", "double", "uint8", "int8",
    "int16", "int32", "int64", "short", "int", "long", "bool", "complex64", "complex128",
}  # fmt: skip
MALFORMED = (
    struct.error, AttributeError, EOFError, LookupError, TypeError, ValueError,
)  # fmt: skip
"""Errors of the walk itself where a value of another kind stands than an opcode needs."""
NAMESPACE = "argparse Namespace"
ALLOWED = {
    *MAKERS,
    NAMESPACE,
    *(f"torch {name}" for name in (*DTYPES, *ELEMENT_SIZES)),
}
"""Globals that a pickle may name."""


def walk_pickle(stream: BinaryIO, storages: Storages | None = None) -> Any:
    """Read one pickle from `stream` and return the outline of its value.

    Args:
        stream: the stream, at the first byte; afterwards, just behind the last byte.
        storages: receives the storages that the pickle names; None if it must name none.

    Returns:
        A plain value, or a `Node` in place of a container and an `OutlineTensor` in place of a
        tensor.

    Raises:
        CheckpointError: the pickle is damaged, or holds more than a checkpoint needs. The message
            lacks its subject, which is the file.
    """
    walk = _Walk(stream, storages)
    try:
        return walk.run()
    except MALFORMED as error:
        raise damaged(f"its pickle ends or breaks at byte {stream.tell():,}") from error


class _Walk:
    """A stack machine over outlines; its methods `op_…` are the opcodes."""

    def __init__(self, stream: BinaryIO, storages: Storages | None) -> None:
        self.stream = stream
        self.storages = storages
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.text_bytes = 0
        self.tensors = 0

    def run(self) -> Any:
        read = self.stream.read
        for _ in range(MAX_OPCODES):
            code = read(1)
            if code == b".":
                return self.stack.pop()
            operation = OPERATIONS.get(code)
            if operation is None:
                if not code:
                    raise EOFError
                raise damaged(f"its pickle holds the opcode {code!r}, which PyTorch never writes")
            operation(self)
        raise refused(f"its pickle has more than {MAX_OPCODES:,} opcodes")

    def read_exactly(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) != count:
            raise EOFError
        return data

    def read_number(self, layout: str) -> Any:
        return struct.unpack(layout, self.read_exactly(struct.calcsize(layout)))[0]

    def read_text(self, count: int) -> None:
        self.text_bytes += count
        if count > MAX_TEXT or self.text_bytes > MAX_TEXTS:
            raise refused(
                f"its pickle holds texts of more than {max(count, self.text_bytes):,} bytes"
            )
        self.stack.append(str(self.read_exactly(count), "utf-8", "surrogatepass"))

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.below.pop()
        return items

    def op_proto(self) -> None:
        version = self.read_number("B")
        if version not in (2, 3):
            raise damaged(f"its pickle has protocol {version}; PyTorch writes 2")

    def op_global(self) -> None:
        words = [self.stream.readline(256) for _ in range(2)]
        if not all(word.endswith(b"\n") for word in words):
            raise EOFError
        name = " ".join(str(word[:-1], "utf-8", "backslashreplace") for word in words)
        if name not in ALLOWED:
            raise CheckpointError(
                f"was refused: its pickle asks for `{printable(name.replace(' ', '.', 1))}`, "
                "which could run code or fill the memory; a checkpoint needs nothing but tensors. "
                "Nothing was run. Ask its author for a .safetensors file."
            )
        self.stack.append(Node("global", name))

    def op_mark(self) -> None:
        if len(self.below) >= MAX_MARKS:
            raise refused(f"its containers nest deeper than {MAX_MARKS} levels")
        self.below.append(self.stack)
        self.stack = []

    def op_tuple(self) -> None:
        items = self.pop_mark()
        self.stack.append(Node.of("tuple", items))

    def op_binint(self) -> None:
        self.stack.append(self.read_number("<i"))

    def op_binint1(self) -> None:
        self.stack.append(self.read_number("B"))

    def op_binint2(self) -> None:
        self.stack.append(self.read_number("<H"))

    def op_long1(self) -> None:
        count = self.read_number("B")
        if count > 16:
            raise refused(f"its pickle holds a whole number of {count} bytes")
        self.stack.append(int.from_bytes(self.read_exactly(count), "little", signed=True))

    def op_binfloat(self) -> None:
        self.stack.append(self.read_number(">d"))

    def op_binunicode(self) -> None:
        self.read_text(self.read_number("<I"))

    def op_short_binstring(self) -> None:
        self.read_text(self.read_number("B"))

    def op_binput(self) -> None:
        self.memo[self.read_number("B")] = self.stack[-1]

    def op_long_binput(self) -> None:
        self.memo[self.read_number("<I")] = self.stack[-1]

    def op_binget(self) -> None:
        self.stack.append(self.memo[self.read_number("B")])

    def op_long_binget(self) -> None:
        self.stack.append(self.memo[self.read_number("<I")])

    def op_append(self) -> None:
        item = self.stack.pop()
        self.stack[-1].extend([item])

    def op_appends(self) -> None:
        items = self.pop_mark()
        self.stack[-1].extend(items)

    def op_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].set_items([key, value])

    def op_setitems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].set_items(items)

    def op_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not _is_global(kind, NAMESPACE) or arguments.items:
            raise refused("its pickle makes an object that no checkpoint needs")
        self.stack.append(Node("Namespace", {}))

    def op_build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].set_attributes(state)

    def op_binpersid(self) -> None:
        """Note a storage; the file must hold it, as the readers of both formats check."""
        word, kind, key, location, numel, *rest = items_of(self.stack.pop())
        name = kind.items.removeprefix("torch ") if isinstance(kind, Node) else ""
        if word != "storage" or name not in ELEMENT_SIZES or any(item is not None for item in rest):
            raise damaged("its pickle refers to something that is no storage of numbers")
        if not isinstance(key, str) or not isinstance(location, str) or not is_count(numel):
            raise damaged("its pickle describes a storage wrongly")
        if self.storages is None:
            raise damaged("its pickle names storages where none belong")
        if self.storages.types.setdefault(key, (name, numel)) != (name, numel):
            raise refused(f"its pickle describes the storage `{printable(key)}` in two ways")
        self.stack.append(Node("storage", (key, name, numel)))

    def op_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Node) or function.kind != "global":
            raise damaged("its pickle calls something that is no function")
        make = MAKERS.get(function.items)
        if make is None:
            raise refused(f"its pickle calls `{printable(function.items)}`")
        made = make(*items_of(arguments))
        if function.items.startswith("torch._utils _rebuild_tensor"):
            self.tensors += 1
            if self.storages is not None:
                self.storages.tensor_bytes += made.nbytes
        if self.tensors > MAX_TENSORS:
            raise refused(f"it holds more than {MAX_TENSORS:,} tensors")
        self.stack.append(made)


def _is_global(value: Any, name: str) -> bool:
    return isinstance(value, Node) and value.kind == "global" and value.items == name


def _push(value: Any) -> Callable[[_Walk], None]:
    return lambda walk: walk.stack.append(value)


def _push_new(kind: str, make: Callable[[], Any]) -> Callable[[_Walk], None]:
    return lambda walk: walk.stack.append(Node(kind, make()))


def _gather(count: int) -> Callable[[_Walk], None]:
    def operation(walk: _Walk) -> None:
        items = walk.stack[-count:]
        if len(items) < count:
            raise IndexError
        walk.stack[-count:] = [Node.of("tuple", items)]

    return operation


OPERATIONS: dict[bytes, Callable[[_Walk], None]] = {
    b"\x80": _Walk.op_proto, b"c": _Walk.op_global, b"(": _Walk.op_mark, b"t": _Walk.op_tuple,
    b"J": _Walk.op_binint, b"K": _Walk.op_binint1, b"M": _Walk.op_binint2,
    b"\x8a": _Walk.op_long1, b"G": _Walk.op_binfloat, b"X": _Walk.op_binunicode,
    b"U": _Walk.op_short_binstring, b"q": _Walk.op_binput, b"r": _Walk.op_long_binput,
    b"h": _Walk.op_binget, b"j": _Walk.op_long_binget, b"a": _Walk.op_append,
    b"e": _Walk.op_appends, b"s": _Walk.op_setitem, b"u": _Walk.op_setitems,
    b"\x81": _Walk.op_newobj, b"b": _Walk.op_build, b"Q": _Walk.op_binpersid,
    b"R": _Walk.op_reduce, b"N": _push(None), b"\x88": _push(True), b"\x89": _push(False),
    b")": _push_new("tuple", list), b"]": _push_new("list", list), b"}": _push_new("dict", dict),
    b"\x8f": _push_new("set", list), b"\x85": _gather(1), b"\x86": _gather(2), b"\x87": _gather(3),
}  # fmt: skip
"""The opcodes that PyTorch's restricted unpickler knows."""
