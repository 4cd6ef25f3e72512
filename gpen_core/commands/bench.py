"""`gpen bench`: time the network on this machine, beside other implementations of it."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import itertools
import json
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ..errors import DeviceError
from ..names import AUTO, DTYPES
from . import bench_timing
from .arguments import positive
from .bench_timing import Task, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SIZES = (256, 512, 1024, 2048)
"""Sizes in pixels of the published networks."""
VERSIONS = ("torch", "onnxruntime")
"""Packages whose versions are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen bench`."""
    network = parser.add_mutually_exclusive_group()
    network.add_argument(
        "--model",
        metavar="FILE",
        default="builtin",
        help="a checkpoint file, or a name that `gpen models` lists (default: builtin)",
    )
    network.add_argument(
        "--size",
        type=int,
        choices=SIZES,
        help="time a network of this published size with random weights instead",
    )
    parser.add_argument(
        "--device", default=AUTO, help="auto, cpu, cuda, cuda:1 or mps (default: auto)"
    )
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=[AUTO],
        choices=(AUTO, *DTYPES),
        help="one or more dtypes (default: auto)",
    )
    parser.add_argument(
        "--batch",
        metavar="N",
        nargs="+",
        type=positive,
        default=[1],
        help="faces per forward pass, one or more numbers (default: 1)",
    )
    parser.add_argument(
        "--repeats",
        metavar="N",
        type=positive,
        default=5,
        help="number of timed forward passes (default: 5)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive,
        help="number of CPU threads (default: PyTorch decides)",
    )
    parser.add_argument(
        "--reference",
        action="store_true",
        help="also time the plain network in float32, which is slow",
    )
    parser.add_argument(
        "--onnxruntime", action="store_true", help="also time ONNX Runtime on the CPU"
    )
    parser.add_argument(
        "--cuda-graph", action="store_true", help="also time the network as a CUDA graph"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Time each network in a separate process and print the result; return the exit code."""
    timings = list(_measure(args))
    size = f"GPEN of {args.size} px, random weights" if args.size else args.model
    facts = {
        "network": f"{size}; median of {args.repeats}",
        "device": ", ".join(dict.fromkeys(t.device for t in timings)),
        **describe_run(args.threads),
    }
    if args.json:
        print(json.dumps({**facts, "timings": [asdict(t) for t in timings]}, indent=2))
    else:
        print(format_facts(facts), format_timings(timings), sep="\n\n")
    return 0


def describe_run(threads: int | None = None) -> dict[str, str]:
    """Return the facts that every measurement needs: cores, versions, date and command."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{n} {importlib.metadata.version(n)}" for n in VERSIONS if _is_installed(n)]
    program = Path(sys.argv[0])
    words = [program.name]
    if program.name == "__main__.py":
        words = ["python", "-m", program.parent.name]
    elif program.suffix == ".py":
        words = ["python", f"{program.parent.name}/{program.name}"]
    return {
        "cores": f"{threads or os.cpu_count()}",
        "software": f"{', '.join(versions)}; {platform.platform(terse=True)}",
        "date": f"{datetime.datetime.now().astimezone():%Y-%m-%d}",
        "command": shlex.join([*words, *sys.argv[1:]]),
    }


def format_facts(facts: dict[str, str]) -> str:
    """Format facts, one per line."""
    return "\n".join(f"{name:<8} {value}" for name, value in facts.items())


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a Markdown table: the first row is the head, the first column has names."""
    head, *rest = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_timings(timings: list[Timing]) -> str:
    """Format timings as a Markdown table, with the speed-up over each rival of the same batch."""
    rivals = {
        title: {t.batch: t for t in timings if t.name.startswith(start)}
        for title, start in (("reference", "reference"), ("ONNX Runtime", "ONNX"))
    }
    rivals = {title: by_batch for title, by_batch in rivals.items() if by_batch}
    head = ["network", "batch", "median", "faces/s", "first", "load", "peak memory"]
    rows = [[*head, *(f"× {title}" for title in rivals)]]
    for t in timings:
        same_batch = [by_batch.get(t.batch) for by_batch in rivals.values()]
        rows.append(
            [
                t.name,
                f"{t.batch}",
                f"{t.seconds * 1e3:,.0f} ms" if t.seconds >= 0.1 else f"{t.seconds * 1e3:.1f} ms",
                f"{t.batch / t.seconds:.3g}",
                f"{t.first:.1f} s",
                "" if t.load is None else f"{t.load:.1f} s",
                "" if t.peak is None else f"{t.peak / 1e9:.2f} GB",
                *("" if r is None else f"{r.seconds / t.seconds:.1f}" for r in same_batch),
            ]
        )
    return format_table(rows)


def _measure(args: argparse.Namespace) -> Iterator[Timing]:
    if args.onnxruntime:
        _require("onnxruntime", "onnx", "onnxscript")
    from ..devices import resolve_device, resolve_dtype  # imports PyTorch

    device = resolve_device(args.device)
    for dtype in args.dtype:
        resolve_dtype(dtype, device)  # fail before anything is timed
    if args.cuda_graph and device.type != "cuda":
        raise DeviceError(
            f"--cuda-graph needs a CUDA device, found {device}: leave it out, or name one with "
            "--device."
        )
    timers = [bench_timing.time_gpen]
    if args.cuda_graph:
        timers.append(bench_timing.time_graphed)
    source = args.size or args.model
    for batch in args.batch:
        tasks = [
            Task(source, args.device, dtype, batch, args.repeats, args.threads)
            for dtype in args.dtype
        ]
        for time, task in itertools.product(timers, tasks):
            yield run_in_process(time, task)
        if args.onnxruntime:
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "reference.onnx")
                run_in_process(bench_timing.export_onnx, tasks[0], path)
                yield run_in_process(bench_timing.time_onnxruntime, tasks[0], path)
        if args.reference:
            yield run_in_process(bench_timing.time_reference, tasks[0])


def run_in_process(
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result:
    """Call a function in a new process, so that the peak memory is that of this call alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments, **options).result()


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(*packages: str) -> None:
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        raise DeviceError(
            f"--onnxruntime needs {', '.join(missing)}. Install with: {sys.executable} -m pip "
            f"install {' '.join(missing)}"
        )
