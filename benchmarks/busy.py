"""Measures a forward pass beside programs that take processor time, by how OpenMP's threads wait.

    python benchmarks/busy.py [--sizes 256 512] [--competitors 1 2] [--rounds 3] [--reference]

The results are in NOTES.md, section A busy machine. A competitor is a loop in a process and session
of its own, so that the scheduler gives it its share. OpenMP's threads wait for each other after
each parallel region: they spin, or sleep at once (`OMP_WAIT_POLICY=passive`), or spin for a while
(`GOMP_SPINCOUNT`, which `gpen` sets). The settings take turns, each in a new process; a time is the
median of its passes, a figure the median of the rounds. "second thread" computes as ComfyUI does,
in a thread that is not the first one that used OpenMP.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpen_core.cli import SPINS
from gpen_core.commands import bench, bench_timing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

PASSES = """
import statistics, sys, threading, time
import torch
from gpen_core.commands import bench_timing
size, passes, reference, second = int(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:5])
if size == 256:
    from gpen_core import load_gpen
    model = load_gpen("builtin", device="cpu", dtype="fp32")
else:
    model = bench_timing.make_network(bench_timing.Task(size, "cpu", "fp32", 1, 1, None))
face = torch.zeros(1, 3, size, size)
if reference:
    from gpen_core.arch.reference import ReferenceGPEN
    model = ReferenceGPEN(model.config).eval()
def run():
    seconds = []
    with torch.inference_mode():
        for _ in range(passes + 2):
            start = time.perf_counter()
            model(face)
            seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[2:]))
if second:
    torch.ones(1 << 22).add_(1)  # the first thread has used OpenMP
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
"""

LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:  # it ends with the benchmark
    for _ in range(1_000_000):
        pass
"""

SETTINGS = {
    "spinning": {},
    "spinning, second thread": {"SECOND": "1"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    **{f"GOMP_SPINCOUNT={n}": {"GOMP_SPINCOUNT": str(n)} for n in (1_000, SPINS, 100_000)},
}
"""What the environment of each run gets."""


@contextmanager
def competing(count: int) -> Iterator[None]:
    """Run `count` loops beside."""
    loops = [
        subprocess.Popen([sys.executable, "-c", LOOP], start_new_session=True) for _ in range(count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def time_passes(size: int, passes: int, *, reference: bool, chosen: dict[str, str]) -> float:
    """Return the median seconds of a pass in a new process."""
    words = [str(size), str(passes), str(int(reference)), chosen.get("SECOND", "0")]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", PASSES, *words]
    return float(subprocess.check_output(command, cwd=ROOT, text=True, env=clean | chosen))


def measure(size: int, competitors: list[int], rounds: int, *, reference: bool) -> list[list[str]]:
    """Return rows of a table: milliseconds with each number of competitors, and the ratios."""
    passes = max(3, round(800_000 / size**2))
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for name, chosen in SETTINGS.items():
            for count in (0, *competitors):
                with competing(count):
                    seconds = time_passes(size, passes, reference=reference, chosen=chosen)
                taken.setdefault((name, count), []).append(seconds)
    rows = []
    for name in SETTINGS:
        idle, *busy = (1e3 * statistics.median(taken[name, n]) for n in (0, *competitors))
        cells = [f"{value:.0f} ms ({value / idle:.1f} ×)" for value in busy]
        rows.append([name, f"{idle:.0f} ms", *cells])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--competitors", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", action="store_true", help="also plain PyTorch modules")
    options = parser.parse_args()
    facts = {"device": bench_timing.cpu_name(), **bench.describe_run()}
    print(bench.format_facts(facts))
    for size in options.sizes:
        for reference in (False, True)[: 1 + options.reference]:
            head = f"{size} px" + (", plain PyTorch" if reference else "")
            heads = [head, "idle", *(f"beside {n}" for n in options.competitors)]
            rows = measure(size, options.competitors, options.rounds, reference=reference)
            print(f"\n{bench.format_table([heads, *rows])}", flush=True)


if __name__ == "__main__":
    main()
