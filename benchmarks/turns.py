"""The networks on a CPU by turns in one process, so that a machine that slows down slows all alike.

    python benchmarks/turns.py [--size 512] [--rounds 9] [--compile] [--reference]

`gpen bench` gives each a process of its own instead, and their memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gpen_core import bench, contenders
from gpen_core.arch.reference import ReferenceGPEN

if TYPE_CHECKING:
    from collections.abc import Callable

REST = 0.5
"""Seconds between two passes: the threads of ONNX Runtime keep a core busy for a while."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, choices=bench.SIZES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtype", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="float32 after `GPEN.compile`, too")
    parser.add_argument("--reference", action="store_true", help="the plain network, too")
    options = parser.parse_args()
    x = torch.rand(1, 3, options.size, options.size) * 2 - 1
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        passes = dict(make_passes(options, x, Path(folder)))
        for run in passes.values():
            run()
        seconds = {name: [] for name in passes}
        for _ in range(options.rounds):
            for name, run in passes.items():
                time.sleep(REST)
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    print(bench.listing({"device": contenders.cpu_name(), **bench.facts_of_this_run()}), end="\n\n")
    print(table(seconds))


def make_passes(
    options: argparse.Namespace, x: torch.Tensor, folder: Path
) -> list[tuple[str, Callable[[], object]]]:
    """Names and forward passes."""

    def network(dtype: str) -> torch.nn.Module:
        task = contenders.Task(options.size, "cpu", dtype, 1, options.rounds, None)
        return contenders.make_network(task)

    passes = [(f"gpen_core, {dtype}", network(dtype)) for dtype in options.dtype]
    if options.compile:
        model = network("fp32")
        model.compile()
        passes.append(("gpen_core, fp32, compiled", model))
    if options.reference:
        passes.append(("reference, fp32", ReferenceGPEN(network("fp32"))))
    runs = [(name, lambda model=model: model(x)) for name, model in passes]
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        runs.append(("ONNX Runtime, fp32", onnx_pass(options, x.numpy(), folder / "gpen.onnx")))
    return runs


def onnx_pass(options: argparse.Namespace, x: np.ndarray, path: Path) -> Callable[[], object]:
    """A forward pass of ONNX Runtime."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    task = contenders.Task(options.size, "cpu", "fp32", 1, 1, None)
    bench.apart(contenders.export_onnx, task, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": x})


def table(seconds: dict[str, list[float]]) -> str:
    """Medians, the least, and the median of each round's ratio to the last contender."""
    *_, last = seconds.values()
    rows = [["network", "median", "least", f"× {list(seconds)[-1]}"]]
    for name, taken in seconds.items():
        ratio = statistics.median(b / a for a, b in zip(taken, last, strict=True))
        milliseconds = (1e3 * statistics.median(taken), 1e3 * min(taken))
        rows.append([name, *(f"{value:,.0f} ms" for value in milliseconds), f"{ratio:.2f}"])
    return bench.markdown(rows)


if __name__ == "__main__":
    main()
