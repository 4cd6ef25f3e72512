"""`gpen bench`: how long the network takes here, beside what else could compute it."""

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
from typing import TYPE_CHECKING, TypeVar

from ..errors import DeviceError
from ..names import DTYPES
from . import bench_timing
from .arguments import positive
from .bench_timing import Task, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Result = TypeVar("Result")

SIZES = (256, 512, 1024, 2048)
VERSIONS = ("torch", "onnxruntime")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen bench`."""
    network = parser.add_mutually_exclusive_group()
    network.add_argument(
        "--model", default="builtin", help="a file or a name that `gpen models` lists"
    )
    network.add_argument(
        "--size", type=int, choices=SIZES, help="a published size instead, with random weights"
    )
    parser.add_argument("--device", default="auto", help='"auto", "cpu", "cuda", "cuda:1", "mps"')
    parser.add_argument(
        "--dtype", nargs="+", default=["auto"], choices=("auto", *DTYPES), help="one or more"
    )
    parser.add_argument(
        "--batch", nargs="+", type=positive, default=[1], help="faces per pass; one or more"
    )
    parser.add_argument("--repeats", type=positive, default=5, help="timed passes")
    parser.add_argument("--threads", type=positive, help="CPU threads; all cores if not given")
    parser.add_argument(
        "--reference", action="store_true", help="time the plain network too, which is slow"
    )
    parser.add_argument(
        "--onnxruntime", action="store_true", help="time ONNX Runtime too, on the CPU"
    )
    parser.add_argument(
        "--cuda-graph", action="store_true", help="time it as a CUDA graph too, on a GPU"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Time what `args` name, one process each, and print the result."""
    timings = list(_measure(args))
    size = f"GPEN of {args.size} px, random weights" if args.size else args.model
    facts = {
        "network": f"{size}; median of {args.repeats}",
        "device": ", ".join(dict.fromkeys(t.device for t in timings)),
        **facts_of_this_run(args.threads),
    }
    if args.json:
        print(json.dumps({**facts, "timings": [asdict(t) for t in timings]}, indent=2))
    else:
        print(listing(facts), table(timings), sep="\n\n")
    return 0


def facts_of_this_run(threads: int | None = None) -> dict[str, str]:
    """What a measurement must be read with: cores, versions, date and command."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{n} {importlib.metadata.version(n)}" for n in VERSIONS if _installed(n)]
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


def listing(facts: dict[str, str]) -> str:
    """Facts, one to a line."""
    return "\n".join(f"{name:<8} {value}" for name, value in facts.items())


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head, the first column its names."""
    head, *rest = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(timings: list[Timing]) -> str:
    """Timings as a Markdown table, with how many times faster each is than the slower ones."""
    rivals = {
        title: {t.batch: t for t in timings if t.name.startswith(start)}
        for title, start in (("reference", "reference"), ("ONNX Runtime", "ONNX"))
    }
    rivals = {title: by_batch for title, by_batch in rivals.items() if by_batch}
    head = ["network", "batch", "median", "faces/s", "first", "load", "peak memory"]
    rows = [[*head, *(f"× {title}" for title in rivals)]]
    for t in timings:
        equals = [by_batch.get(t.batch) for by_batch in rivals.values()]
        rows.append(
            [
                t.name,
                f"{t.batch}",
                f"{t.seconds * 1e3:,.0f} ms" if t.seconds >= 0.1 else f"{t.seconds * 1e3:.1f} ms",
                f"{t.batch / t.seconds:.3g}",
                f"{t.first:.1f} s",
                "" if t.load is None else f"{t.load:.1f} s",
                "" if t.peak is None else f"{t.peak / 1e9:.2f} GB",
                *("" if r is None else f"{r.seconds / t.seconds:.1f}" for r in equals),
            ]
        )
    return markdown(rows)


def _measure(args: argparse.Namespace) -> Iterator[Timing]:
    if args.onnxruntime:
        _require("onnxruntime", "onnx", "onnxscript")
    from ..devices import resolve_device, resolve_dtype  # loads PyTorch

    device = resolve_device(args.device)
    for dtype in args.dtype:
        resolve_dtype(dtype, device)  # before anything is timed
    if args.cuda_graph and device.type != "cuda":
        raise DeviceError(
            f"--cuda-graph needs a CUDA device, found {device}: leave it out, or name one with "
            "--device."
        )
    contender = [bench_timing.time_gpen]
    if args.cuda_graph:
        contender.append(bench_timing.time_graphed)
    source = args.size or args.model
    for batch in args.batch:
        tasks = [
            Task(source, args.device, dtype, batch, args.repeats, args.threads)
            for dtype in args.dtype
        ]
        for time, task in itertools.product(contender, tasks):
            yield apart(time, task)
        if args.onnxruntime:
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "reference.onnx")
                apart(bench_timing.export_onnx, tasks[0], path)
                yield apart(bench_timing.time_onnxruntime, tasks[0], path)
        if args.reference:
            yield apart(bench_timing.time_reference, tasks[0])


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, so that its peak memory is its own too."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(*packages: str) -> None:
    missing = [package for package in packages if not _installed(package)]
    if missing:
        raise DeviceError(
            f"--onnxruntime needs {', '.join(missing)}, not installed here: "
            f"`{sys.executable} -m pip install {' '.join(missing)}`."
        )
