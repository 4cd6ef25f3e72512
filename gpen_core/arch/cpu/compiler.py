"""Compiles the CPU kernels to machine code with LLVM, and runs them on OpenMP's threads.

facexlib needs numba, which brings llvmlite.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Sequence

import torch
from llvmlite import binding, ir

from . import kept_code
from .simd import INT32, INT64, BFloat16s, Code, Floats, Index, Operand, Pointer, integer

Kernel = Callable[..., None]

POINTER = ctypes.c_void_p

OPENMP = ("omp_get_num_threads", "omp_get_thread_num")
"""Functions that the kernels call. Code names them, since their addresses change per process."""
PREFIX = "gpen_"
"""Stands before their names, which others in this process may resolve to another OpenMP."""


class CompiledKernels:
    """Machine code of kernels for the CPU at hand.

    Args:
        kernels: functions of a `Code`, the index of an item, and the arguments of `run`.
        pixels: the type of their `Pixels`.
        openmp: GNU's OpenMP library, whose threads run them.
        keep: take the code from the user's cache, or keep it there; for kernels of this folder.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        pixels: type[Floats | BFloat16s],
        openmp: ctypes.CDLL,
        *,
        keep: bool = False,
    ) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        for name in OPENMP:
            address = ctypes.cast(getattr(openmp, name), POINTER).value
            binding.add_symbol(PREFIX + name, address)
        names = [kernel.__name__ for kernel in kernels]
        key = kept_code.find_key(pixels.__name__, names) if keep else None
        kept = kept_code.read(key) if key else None
        if kept is not None:
            engine = _make_engine("", lambda module: kept)
        else:
            module = ir.Module()
            for kernel in kernels:
                _write_function(module, kernel, pixels)
            engine = _make_engine(
                str(module), notify=lambda _, code: kept_code.write(key, code) if key else None
            )
        self._engine = engine  # owns the machine code
        self._addresses = {name: engine.get_function_address(name) for name in names}
        signature = ctypes.CFUNCTYPE(None, POINTER, POINTER, ctypes.c_uint, ctypes.c_uint)
        self._run_in_parallel = signature(("GOMP_parallel", openmp))

    def run(self, kernel: str, items: int, *arguments: torch.Tensor | int) -> None:
        """Compute items 0 … items − 1 of a kernel, on the number of threads that torch uses."""
        values = [x.data_ptr() if isinstance(x, torch.Tensor) else x for x in arguments]
        task = (ctypes.c_int64 * (1 + len(values)))(items, *values)
        address, threads = self._addresses[kernel], torch.get_num_threads()
        self._run_in_parallel(address, ctypes.addressof(task), threads, 0)


def _make_engine(
    code: str,
    find: Callable[[object], bytes | None] | None = None,
    notify: Callable[[object, bytes], None] | None = None,
) -> binding.ExecutionEngine:
    """Return an engine that holds the machine code of a module.

    Args:
        code: the module, in LLVM's language.
        find: returns machine code to use in place of the module's.
        notify: gets the machine code that was compiled.
    """
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(code), machine)
    engine.set_object_cache(notify, find)
    engine.finalize_object()
    return engine


def _write_function(module: ir.Module, kernel: Kernel, pixels: type[Floats | BFloat16s]) -> None:
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
        function = module.globals.get(PREFIX + name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(INT32, []), PREFIX + name)
        return Index(builder, builder.sext(builder.call(function, []), INT64))

    kinds: dict[str, type[Operand]] = {"Pixels": pixels, "Floats": Floats, "Index": Index}
    operands: list[Operand] = []
    _, _, *parameters = inspect.signature(kernel).parameters.values()
    for place, parameter in enumerate(parameters, start=1):
        kind, value = kinds[parameter.annotation], argument(place).value
        if issubclass(kind, Pointer):
            value = builder.inttoptr(value, kind.element.as_pointer())
        operands.append(kind(builder, value))
    items = argument(0)
    threads, thread = (call(name) for name in OPENMP)
    code = Code(builder)
    for item in code.range(items * thread // threads, items * (thread + 1) // threads):
        kernel(code, item, *operands)
    builder.ret_void()
