"""The example in the docstring of `simd`: its kernel writes its instructions, and computes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

import pytest
import torch
from kernel_inputs import needs_kernels

from gpen_core.arch.cpu import launch

pytest.importorskip("llvmlite", reason="pip install llvmlite to run this")

from llvmlite import ir

from gpen_core.arch.cpu import simd
from gpen_core.arch.cpu.compiler import CompiledKernels

INSTRUCTION = re.compile(r"\s*;.*|%\"?[.\w]+\"?|\"?[.\w]+\"?(?=:)")


def find_block(first_line: str) -> str:
    """Return the indented block of the docstring that starts with this line."""
    assert simd.__doc__
    _, found, rest = simd.__doc__.partition(first_line)
    assert found
    return textwrap.dedent("    " + found.lstrip() + rest.partition("\n\n")[0])


@pytest.fixture(scope="module")
def double() -> Callable[..., None]:
    """The kernel of the example."""
    names = dict(vars(simd))
    source = find_block("    def double(")
    exec("from __future__ import annotations\n" + source, names)
    return names["double"]


def normalise(code: str) -> list[str]:
    """Number the names in the order in which they appear, and drop comments and indents."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        name = found[0].strip('%"')
        if name.lstrip().startswith(";"):
            return ""
        return ("%" if found[0][0] == "%" else "") + numbers.setdefault(name, str(len(numbers)))

    lines = (" ".join(INSTRUCTION.sub(number, line).split()) for line in code.splitlines())
    return [line for line in lines if line]


def test_the_kernel_writes_these_instructions(double: Callable[..., None]) -> None:
    pointer = simd.FLOAT.as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [simd.INT64, pointer, pointer, simd.INT64])
    function = ir.Function(ir.Module(), signature, "double")
    for argument, name in zip(function.args, ("row", "x", "out", "count"), strict=True):
        argument.name = name
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    row, x, out, count = function.args
    double(
        simd.Code(builder),
        simd.Index(builder, row),
        simd.Floats(builder, x),
        simd.Floats(builder, out),
        simd.Index(builder, count),
    )
    builder.ret_void()
    _, _, body = str(function).partition("entry:\n")
    assert normalise(find_block("        %x_start = ")) == normalise(body.rpartition("}")[0])


@needs_kernels
def test_the_kernel_doubles_rows(double: Callable[..., None]) -> None:
    x = torch.randn(5, 32)
    out = torch.zeros(5, 32)
    openmp = launch._openmp()
    assert openmp is not None
    CompiledKernels([double], simd.Floats, openmp).run("double", 5, x, out, 32)
    assert torch.equal(out, 2 * x)
