"""Run `gpen bench` for several sizes, with the reference and, if installed, ONNX Runtime.

    python benchmarks/network.py [--size 512 2048] [any other option of `gpen bench`]

Every contender runs in a separate process, which also separates their peaks of memory.
"""

from __future__ import annotations

import argparse
import importlib.util

from gpen_core.commands import bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--size", nargs="+", type=int, default=[512, 2048], choices=bench.SIZES)
    options, others = parser.parse_known_args()
    words = ["--dtype", "fp32", "bf16", "--reference"]
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        words.append("--onnxruntime")
    timing = argparse.ArgumentParser(prog=parser.prog)
    bench.add_arguments(timing)
    for size in options.size:
        bench.run(timing.parse_args([*words, *others, "--size", f"{size}"]))
        print()


if __name__ == "__main__":
    main()
