"""Time variants of the network on a CPU in turns, so that a machine that slows down slows them all.

    python benchmarks/turns.py [--size 512] [--rounds 9] [--dtype fp32] [--torch] [--reference]

All variants run in one process. Use `gpen bench`, which starts one process each, for ONNX Runtime:
its threads and memory slow everything else in its process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING
from unittest import mock

import torch

from gpen_core.arch.cpu import launch
from gpen_core.arch.reference import ReferenceGPEN
from gpen_core.commands import bench, bench_timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpen_core.arch import GPEN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, choices=bench.SIZES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dtype", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--torch", action="store_true", help="also without the kernels")
    parser.add_argument("--reference", action="store_true", help="also the plain network")
    options = parser.parse_args()
    x = torch.rand(1, 3, options.size, options.size) * 2 - 1
    networks = dict(make_networks(options))
    seconds = {name: [] for name in networks}
    with torch.inference_mode():
        for round_ in range(options.rounds + 1):
            for name, network in networks.items():
                start = time.perf_counter()
                network(x)
                if round_:
                    seconds[name].append(time.perf_counter() - start)
    print(
        bench.format_facts({"device": bench_timing.cpu_name(), **bench.describe_run()}), end="\n\n"
    )
    print(format_table(seconds))


class WithoutKernels(torch.nn.Module):
    """Runs a network with torch's operations alone, without the compiled kernels."""

    def __init__(self, network: GPEN) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with mock.patch.object(launch, "is_available", lambda dtype: False):
            return self.network(x)


def make_networks(options: argparse.Namespace) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the names of the variants and their networks."""

    def make(dtype: str) -> GPEN:
        task = bench_timing.Task(options.size, "cpu", dtype, 1, options.rounds, None)
        return bench_timing.make_network(task)

    for dtype in options.dtype:
        yield dtype, make(dtype)
        if options.torch:
            yield f"{dtype}, torch alone", WithoutKernels(make(dtype))
    if options.reference:
        yield "reference, fp32", ReferenceGPEN(make("fp32"))


def format_table(seconds: dict[str, list[float]]) -> str:
    """Return a table of medians, minima, and the median ratio to the first variant per round."""
    first = next(iter(seconds))
    rows = [["network", "median", "minimum", f"× {first}"]]
    for name, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[first], taken, strict=True))
        milliseconds = (1e3 * statistics.median(taken), 1e3 * min(taken))
        rows.append([name, *(f"{value:,.0f} ms" for value in milliseconds), f"{ratio:.2f}"])
    return bench.format_table(rows)


if __name__ == "__main__":
    main()
