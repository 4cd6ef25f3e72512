"""Compiles the CPU kernels to machine code with LLVM, and runs them on OpenMP's threads.

facexlib needs numba, which brings llvmlite.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Sequence

import torch
from llvmlite import binding, ir

from .simd import INT32, INT64, BFloat16s, Code, Floats, Index, Operand, Pointer, integer

Kernel = Callable[..., None]

POINTER = ctypes.c_void_p


class CompiledKernels:
    """Machine code of kernels for the CPU at hand.

    Args:
        kernels: functions of a `Code`, the index of an item, and the arguments of `run`.
        pixels: the type of their `Pixels`.
        openmp: GNU's OpenMP library, whose threads run them.
    """

    def __init__(
        self, kernels: Sequence[Kernel], pixels: type[Floats | BFloat16s], openmp: ctypes.CDLL
    ) -> None:
        module = ir.Module()
        for kernel in kernels:
            _write_function(module, kernel, pixels, openmp)
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
            opt=3,
        )
        engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), machine)
        engine.finalize_object()
        self._engine = engine  # owns the machine code
        self._addresses = {
            kernel.__name__: engine.get_function_address(kernel.__name__) for kernel in kernels
        }
        signature = ctypes.CFUNCTYPE(None, POINTER, POINTER, ctypes.c_uint, ctypes.c_uint)
        self._run_in_parallel = signature(("GOMP_parallel", openmp))

    def run(self, kernel: str, items: int, *arguments: torch.Tensor | int) -> None:
        """Compute items 0 … items − 1 of a kernel, on the number of threads that torch uses."""
        values = [x.data_ptr() if isinstance(x, torch.Tensor) else x for x in arguments]
        task = (ctypes.c_int64 * (1 + len(values)))(items, *values)
        address, threads = self._addresses[kernel], torch.get_num_threads()
        self._run_in_parallel(address, ctypes.addressof(task), threads, 0)


def _write_function(
    module: ir.Module, kernel: Kernel, pixels: type[Floats | BFloat16s], openmp: ctypes.CDLL
) -> None:
    """Write a function that has the kernel's name and computes the items of one thread.

    Its only parameter is the address of an array of int64: the number of items, then the arguments
    of the kernel.
    """
    signature = ir.FunctionType(ir.VoidType(), [INT64.as_pointer()])
    function = ir.Function(module, signature, kernel.__name__)
    builder = ir.IRBuilder(function.append_basic_block())

    def argument(place: int) -> Index:
        address = builder.gep(function.args[0], [integer(place)])
        return Index(builder, builder.load(address))

    def call(name: str) -> Index:
        address = ctypes.cast(getattr(openmp, name), POINTER).value
        pointer = ir.FunctionType(INT32, []).as_pointer()
        answer = builder.call(builder.inttoptr(ir.Constant(INT64, address), pointer), [])
        return Index(builder, builder.sext(answer, INT64))

    kinds: dict[str, type[Operand]] = {"Pixels": pixels, "Floats": Floats, "Index": Index}
    operands: list[Operand] = []
    _, _, *parameters = inspect.signature(kernel).parameters.values()
    for place, parameter in enumerate(parameters, start=1):
        kind, value = kinds[parameter.annotation], argument(place).value
        if issubclass(kind, Pointer):
            value = builder.inttoptr(value, kind.element.as_pointer())
        operands.append(kind(builder, value))
    items = argument(0)
    threads, thread = call("omp_get_num_threads"), call("omp_get_thread_num")
    code = Code(builder)
    for item in code.range(items * thread // threads, items * (thread + 1) // threads):
        kernel(code, item, *operands)
    builder.ret_void()
