"""Measures how long users wait before anything is computed.

    python benchmarks/startup.py [--repeats 5]

The results are in NOTES.md, section Start-up. It measures three starts:

- the node pack: import it, load its extension and ask each node for its schema, in a process that
  has already imported torch and a stand-in for ComfyUI (tests/doubles);
- `gpen --help`: from start to exit; the start of an empty interpreter is timed beside it;
- a checkpoint of GPEN-2048: `load_gpen` on the CPU, from 285 MB of safetensors in the disk's cache;
- the first and the second face through the built-in model, with the CPU kernels compiled in each
  process or kept on disk, by turns.

Each repeat runs in a new process. Times are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpen_core.commands import bench, bench_timing

ROOT = Path(__file__).parents[1]

NODES = """
import asyncio, importlib.util, sys, time
import torch
sys.path.insert(0, sys.argv[2])
import comfy.model_management, comfy.model_patcher, comfy.utils, comfy_api.latest, folder_paths
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("pack", sys.argv[1] + "/__init__.py",
                                              submodule_search_locations=[sys.argv[1]])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)
async def schemas():
    extension = await pack.comfy_entrypoint()
    await extension.on_load()
    return [node.GET_SCHEMA() for node in await extension.get_node_list()]
assert asyncio.run(schemas())
print(time.perf_counter() - start)
"""

LOAD = """
import sys, time
import torch
from gpen_core import load_gpen
start = time.perf_counter()
load_gpen(sys.argv[1], device="cpu")
print(time.perf_counter() - start)
"""

FACES = """
import time
import torch
from gpen_core import load_gpen
model, face = load_gpen("builtin", device="cpu", dtype="fp32"), torch.zeros(1, 3, 256, 256)
for _ in range(2):
    start = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        model(face)
    print(time.perf_counter() - start[0], time.process_time() - start[1])
"""


def time_faces(repeats: int) -> list[list[str]]:
    """Return rows of a table: what the first and second face take, kernels compiled and kept."""
    taken: dict[str, list[list[float]]] = {"compiled": [], "kept on disk": []}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(repeats + 1):
            for switch, runs in enumerate(taken.values()):
                chosen = {"GPEN_CACHE": cache, "GPEN_KERNEL_CACHE": str(switch)}
                printed = subprocess.check_output(
                    [sys.executable, "-c", FACES], cwd=ROOT, text=True, env=os.environ | chosen
                )
                runs.append([float(number) for number in printed.split()])
    rows = []
    for name, runs in taken.items():
        middle = [statistics.median(values) for values in zip(*runs[1:], strict=True)]
        rows.append([f"CPU kernels {name}", *(f"{value:.3f} s" for value in middle)])
    return rows


def time_inside(code: str, *arguments: str, repeats: int) -> float:
    """Return the median of the seconds that processes with this code print."""
    command = [sys.executable, "-c", code, *arguments]
    printed = [subprocess.check_output(command, cwd=ROOT, text=True) for _ in range(repeats + 1)]
    return statistics.median(float(line) for line in printed[1:])  # the first fills disk caches


def time_outside(*arguments: str, repeats: int) -> float:
    """Return the median seconds that an interpreter with these arguments takes in all."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.check_output([sys.executable, *arguments], cwd=ROOT)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats

    nodes = time_inside(NODES, str(ROOT), str(ROOT / "tests" / "doubles"), repeats=repeats)
    help_page = time_outside("-m", "gpen_core", "--help", repeats=repeats)
    nothing = time_outside("-c", "", repeats=repeats)
    with tempfile.TemporaryDirectory() as folder:
        from safetensors.torch import save_file

        checkpoint = Path(folder) / "gpen-2048.safetensors"
        network = bench_timing.make_network(bench_timing.Task(2048, "cpu", "fp32", 1, 1, None))
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, checkpoint)
        del network, tensors
        load = time_inside(LOAD, str(checkpoint), repeats=repeats)
    rows = [
        ["start", "median", "target"],
        ["import the node pack, after torch", f"{nodes:.3f} s", "0.2 s"],
        [f"`gpen --help` (an empty interpreter: {nothing:.3f} s)", f"{help_page:.3f} s", "0.3 s"],
        ["load GPEN-2048 from safetensors", f"{load:.3f} s", "1 s"],
    ]
    heads = ["built-in model, 256 px, float32"]
    heads += [f"{face} face, {unit}" for face in ("first", "second") for unit in ("wall", "CPU")]
    facts = {"device": bench_timing.cpu_name(), **bench.describe_run()}
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")
    print(f"\n{bench.format_table([heads, *time_faces(repeats)])}")


if __name__ == "__main__":
    main()
