"""What kernels for CPUs are written with: vectors of pixels, in a CPU's registers.

A kernel is a function whose parameters are annotated `Pixels`, `Floats` or `Index`. It is called
once, with stand-ins whose arithmetic writes LLVM's instructions; Python's loops and lists thus
unroll, and `Code.range` and `Code.channels` make loops that remain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from llvmlite import ir

from .instructions import LANES

BITS16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)

Value = Any
"""What an instruction gives; llvmlite is not typed."""

Same = TypeVar("Same", bound="Operand")


class Operand:
    """Something that arithmetic is done with."""

    def __init__(self, builder: ir.IRBuilder, value: Value) -> None:
        self.builder, self.value = builder, value


class Index(Operand):
    """A signed 64-bit integer."""

    def __add__(self, other: Index | int) -> Index:
        return self._do(self.builder.add, other)

    def __sub__(self, other: Index | int) -> Index:
        return self._do(self.builder.sub, other)

    def __mul__(self, other: Index | int) -> Index:
        return self._do(self.builder.mul, other)

    def __floordiv__(self, other: Index | int) -> Index:
        """Towards zero."""
        return self._do(self.builder.sdiv, other)

    def __mod__(self, other: Index | int) -> Index:
        return self._do(self.builder.srem, other)

    def __lt__(self, other: Index | int) -> Value:
        return self.builder.icmp_signed("<", self.value, integer(other))

    def _do(self, operation: Callable[..., Value], other: Index | int) -> Index:
        return Index(self.builder, operation(self.value, integer(other)))


class Number(Operand):
    """One in float32."""

    def __add__(self, other: Number) -> Number:
        return Number(self.builder, self.builder.fadd(self.value, other.value))


class Vector(Operand):
    """LANES numbers in float32."""

    def __add__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fadd, other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fsub, other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fmul, other)

    __radd__, __rmul__ = __add__, __mul__

    def leaky_relu(self, slope: float) -> Vector:
        """Not a number stays so."""
        positive = self.builder.fcmp_ordered(">=", self.value, _constant(0))
        value = self.builder.select(positive, self.value, (self * slope).value)
        return Vector(self.builder, value)

    def total(self) -> Number:
        """Of the lanes: halves are added until one is left."""
        value, lanes = self.value, LANES
        while lanes > 1:
            lanes //= 2
            low, high = (
                self.builder.shuffle_vector(
                    value, value, ir.Constant(ir.VectorType(INT32, lanes), list(places))
                )
                for places in (range(lanes), range(lanes, 2 * lanes))
            )
            value = self.builder.fadd(low, high)
        return Number(self.builder, self.builder.extract_element(value, ir.Constant(INT32, 0)))

    def _do(self, operation: Callable[..., Value], other: Vector | float) -> Vector:
        operand = other.value if isinstance(other, Vector) else _constant(other)
        # A product and a sum may become one instruction, rounded once.
        return Vector(self.builder, operation(self.value, operand, flags=("contract",)))


class Pointer(Operand):
    """An address of numbers; what is added to it counts numbers, not bytes."""

    element: ir.Type

    def __add__(self: Same, count: Index | int) -> Same:
        address = self.builder.gep(self.value, [integer(count)])
        return type(self)(self.builder, address)

    def _vector_address(self) -> Value:
        return self.builder.bitcast(self.value, ir.VectorType(self.element, LANES).as_pointer())


class Floats(Pointer):
    """Of numbers in float32."""

    element = FLOAT

    def load(self) -> Vector:
        """LANES numbers."""
        return Vector(self.builder, self.builder.load(self._vector_address(), align=4))

    def store(self, vector: Vector) -> None:
        """Write LANES numbers."""
        self.builder.store(vector.value, self._vector_address(), align=4)

    def load_one(self) -> Number:
        """The number."""
        return Number(self.builder, self.builder.load(self.value))

    def store_one(self, number: Number) -> None:
        """Write the number."""
        self.builder.store(number.value, self.value)

    def spread(self) -> Vector:
        """The number in all lanes."""
        number = self.builder.load(self.value)
        lane = ir.Constant(INT32, 0)
        vector = self.builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, lane)
        everywhere = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
        return Vector(self.builder, self.builder.shuffle_vector(vector, vector, everywhere))


class BFloat16s(Pointer):
    """Of numbers in bfloat16, the upper half of float32's bits."""

    element = BITS16
    WORDS = ir.VectorType(INT32, LANES)

    def load(self) -> Vector:
        """LANES numbers."""
        bits = self.builder.load(self._vector_address(), align=2)
        word = self.builder.shl(self.builder.zext(bits, self.WORDS), self._words(16))
        return Vector(self.builder, self.builder.bitcast(word, VECTOR))

    def store(self, vector: Vector) -> None:
        """Write LANES numbers, rounded to nearest, halves to even."""
        builder = self.builder
        word = builder.bitcast(vector.value, self.WORDS)
        odd = builder.and_(builder.lshr(word, self._words(16)), self._words(1))
        word = builder.add(word, builder.add(odd, self._words(0x7FFF)))
        bits = builder.trunc(builder.lshr(word, self._words(16)), ir.VectorType(BITS16, LANES))
        builder.store(bits, self._vector_address(), align=2)

    def _words(self, value: int) -> ir.Constant:
        return ir.Constant(self.WORDS, [value] * LANES)


Pixels = Floats | BFloat16s
"""Numbers in the dtype that a kernel is compiled for."""


class Code:
    """Writes what is not arithmetic."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def range(self, start: Index | int, stop: Index | int, step: int = 1) -> Iterator[Index]:
        """A loop: `for i in code.range(0, n):` has a body that is written once."""
        for index, _ in self.loop(start, stop, [], step):
            yield index

    def channels(self, count: Index) -> Iterator[Index]:
        """A loop over the first of each LANES of count channels, of which there are LANES at least.

        The last are those up to the last channel, some of which the ones before may contain.
        """
        last = count - LANES
        for first in self.range(0, count, LANES):
            yield self.minimum(first, last)

    def loop(
        self, start: Index | int, stop: Index | int, carried: list[Vector], step: int = 1
    ) -> Iterator[tuple[Index, list[Vector]]]:
        """As `range`, with vectors that the body replaces in the list it is given."""
        builder = self.builder
        before = builder.block
        head, body, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        counter = builder.phi(INT64)
        counter.add_incoming(integer(start), before)
        vectors = [builder.phi(VECTOR) for _ in carried]
        for vector, value in zip(vectors, carried, strict=True):
            vector.add_incoming(value.value, before)
        index = Index(builder, counter)
        builder.cbranch(index < stop, body, after)
        builder.position_at_end(body)
        changed = [Vector(builder, vector) for vector in vectors]
        yield index, changed
        counter.add_incoming((index + step).value, builder.block)
        for vector, value in zip(vectors, changed, strict=True):
            vector.add_incoming(value.value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        carried[:] = [Vector(builder, vector) for vector in vectors]

    def minimum(self, a: Index, b: Index) -> Index:
        """The smaller one."""
        return Index(self.builder, self.builder.select(a < b, a.value, b.value))

    def select(self, index: Index, end: Index | int, yes: Same, no: Same) -> Same:
        """`yes` where 0 ≤ index < end, else `no`."""
        inside = self.builder.icmp_unsigned("<", index.value, integer(end))
        return type(yes)(self.builder, self.builder.select(inside, yes.value, no.value))

    def zero(self) -> Vector:
        """A vector of zeros."""
        return Vector(self.builder, _constant(0))


def integer(value: Index | int) -> Value:
    """As LLVM knows it."""
    return value.value if isinstance(value, Index) else ir.Constant(INT64, value)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [float(value)] * LANES)
