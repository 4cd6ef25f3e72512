"""The language of the CPU kernels: operands whose arithmetic writes LLVM instructions.

A kernel is a Python function with parameters annotated `Pixels`, `Floats` or `Index`. The compiler
calls it once, with operands that stand for registers: instead of computing, each operation appends
an instruction. For example, this kernel doubles a row of x [rows, count], if LANES divides count:

    def double(code: Code, row: Index, x: Floats, out: Floats, count: Index) -> None:
        x += row * count
        out += row * count
        for c in code.range(0, count, LANES):
            value = (x + c).load()
            (out + c).store(value + value)

It writes the following instructions, shown with readable names:

        %x_start = mul i64 %row, %count                                     ; x += row * count
        %x_row = getelementptr float, float* %x, i64 %x_start
        %out_start = mul i64 %row, %count                                   ; out += row * count
        %out_row = getelementptr float, float* %out, i64 %out_start
        br label %head
    head:                                                                   ; for c in code.range
        %c = phi i64 [0, %entry], [%c_next, %body]
        %more = icmp slt i64 %c, %count
        br i1 %more, label %body, label %after
    body:
        %x_place = getelementptr float, float* %x_row, i64 %c               ; (x + c).load()
        %x_vector = bitcast float* %x_place to <16 x float>*
        %value = load <16 x float>, <16 x float>* %x_vector, align 4
        %out_place = getelementptr float, float* %out_row, i64 %c           ; out + c
        %sum = fadd contract <16 x float> %value, %value                    ; value + value
        %out_vector = bitcast float* %out_place to <16 x float>*            ; .store(…)
        store <16 x float> %sum, <16 x float>* %out_vector, align 4
        %c_next = add i64 %c, 16
        br label %head
    after:
        ret void

Only `Code.range`, `Code.channels` and `Code.loop` write loops. A loop of Python's runs while the
kernel is written, so it unrolls: `for k in range(4)` appends its body four times.
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
"""The result of an instruction; llvmlite has no types for it."""

Same = TypeVar("Same", bound="Operand")


class Operand:
    """A value in a register, and the builder that appends instructions."""

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
        """Divide and round towards zero."""
        return self._do(self.builder.sdiv, other)

    def __mod__(self, other: Index | int) -> Index:
        return self._do(self.builder.srem, other)

    def __lt__(self, other: Index | int) -> Value:
        return self.builder.icmp_signed("<", self.value, integer(other))

    def _do(self, operation: Callable[..., Value], other: Index | int) -> Index:
        return Index(self.builder, operation(self.value, integer(other)))


class Number(Operand):
    """A single float32 value in a register."""

    def __add__(self, other: Number) -> Number:
        return Number(self.builder, self.builder.fadd(self.value, other.value))


class Vector(Operand):
    """A vector of LANES float32 values in registers."""

    def __add__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fadd, other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fsub, other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._do(self.builder.fmul, other)

    __radd__, __rmul__ = __add__, __mul__

    def leaky_relu(self, slope: float) -> Vector:
        """Apply leaky ReLU; NaN stays NaN."""
        positive = self.builder.fcmp_ordered(">=", self.value, _constant(0))
        value = self.builder.select(positive, self.value, (self * slope).value)
        return Vector(self.builder, value)

    def total(self) -> Number:
        """Add up the lanes: add one half to the other until a single lane is left."""
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
        # "contract": LLVM may fuse a product and a sum into one instruction, which rounds once.
        return Vector(self.builder, operation(self.value, operand, flags=("contract",)))


class Pointer(Operand):
    """A pointer to values; an index added to it counts values, not bytes."""

    element: ir.Type

    def __add__(self: Same, count: Index | int) -> Same:
        address = self.builder.gep(self.value, [integer(count)])
        return type(self)(self.builder, address)

    def _vector_address(self) -> Value:
        return self.builder.bitcast(self.value, ir.VectorType(self.element, LANES).as_pointer())


class Floats(Pointer):
    """A pointer to float32 values."""

    element = FLOAT

    def load(self) -> Vector:
        """Load LANES values."""
        return Vector(self.builder, self.builder.load(self._vector_address(), align=4))

    def store(self, vector: Vector) -> None:
        """Store LANES values."""
        self.builder.store(vector.value, self._vector_address(), align=4)

    def load_one(self) -> Number:
        """Load a single value."""
        return Number(self.builder, self.builder.load(self.value))

    def store_one(self, number: Number) -> None:
        """Store a single value."""
        self.builder.store(number.value, self.value)

    def spread(self) -> Vector:
        """Load a single value into all lanes."""
        number = self.builder.load(self.value)
        lane = ir.Constant(INT32, 0)
        vector = self.builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, lane)
        everywhere = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
        return Vector(self.builder, self.builder.shuffle_vector(vector, vector, everywhere))


class BFloat16s(Pointer):
    """A pointer to bfloat16 values, which are the upper 16 bits of float32."""

    element = BITS16
    WORDS = ir.VectorType(INT32, LANES)

    def load(self) -> Vector:
        """Load LANES values."""
        bits = self.builder.load(self._vector_address(), align=2)
        word = self.builder.shl(self.builder.zext(bits, self.WORDS), self._words(16))
        return Vector(self.builder, self.builder.bitcast(word, VECTOR))

    def store(self, vector: Vector) -> None:
        """Round LANES values to the nearest bfloat16, ties to even, and store them."""
        builder = self.builder
        word = builder.bitcast(vector.value, self.WORDS)
        odd = builder.and_(builder.lshr(word, self._words(16)), self._words(1))
        word = builder.add(word, builder.add(odd, self._words(0x7FFF)))
        bits = builder.trunc(builder.lshr(word, self._words(16)), ir.VectorType(BITS16, LANES))
        builder.store(bits, self._vector_address(), align=2)

    def _words(self, value: int) -> ir.Constant:
        return ir.Constant(self.WORDS, [value] * LANES)


Pixels = Floats | BFloat16s
"""A pointer to values in the dtype that the kernel is compiled for."""


class Code:
    """Writes loops, selections and constants."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def range(self, start: Index | int, stop: Index | int, step: int = 1) -> Iterator[Index]:
        """Write a loop: the body of `for i in code.range(0, n):` runs once and is written once."""
        for index, _ in self.loop(start, stop, [], step):
            yield index

    def channels(self, count: Index) -> Iterator[Index]:
        """Write a loop over vectors of channels; yield the first channel of each.

        Count must be at least LANES. If LANES does not divide it, the last vector ends at the last
        channel and overlaps the one before, so those channels are computed twice.
        """
        last = count - LANES
        for first in self.range(0, count, LANES):
            yield self.minimum(first, last)

    def loop(
        self, start: Index | int, stop: Index | int, carried: list[Vector], step: int = 1
    ) -> Iterator[tuple[Index, list[Vector]]]:
        """Write a loop that carries vectors from one iteration to the next.

        It yields the index and a list of the vectors, into which the body puts their new values.
        After the loop, `carried` holds the last ones.
        """
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
        """Return the smaller one."""
        return Index(self.builder, self.builder.select(a < b, a.value, b.value))

    def select(self, index: Index, end: Index | int, yes: Same, no: Same) -> Same:
        """Return `yes` if 0 ≤ index < end, else `no`."""
        inside = self.builder.icmp_unsigned("<", index.value, integer(end))
        return type(yes)(self.builder, self.builder.select(inside, yes.value, no.value))

    def zero(self) -> Vector:
        """Return a vector of zeros."""
        return Vector(self.builder, _constant(0))


def integer(value: Index | int) -> Value:
    """Return LLVM's value of an index or an int."""
    return value.value if isinstance(value, Index) else ir.Constant(INT64, value)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [float(value)] * LANES)
