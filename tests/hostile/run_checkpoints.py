"""Attack the reader of checkpoints by hand: a table of all attacks, then altered files.

    python tests/hostile/run_checkpoints.py --cases 10000

Prints seconds, growth of the peak of memory and the answer for each attack.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "support"), str(HERE)]

import checkpoints  # noqa: E402

from gpen_core.checkpoints.loading import read_checkpoint  # noqa: E402
from gpen_core.checkpoints.tensor_files import read_tensor_file  # noqa: E402
from gpen_core.errors import CheckpointError  # noqa: E402


def find_peak() -> float:
    """The largest memory of this process so far, in MB; 0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=29)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| file | bytes | s | MB | answer |\n|---|---|---|---|---|")
        for path in checkpoints.write_attacks(Path(folder)):
            started, before = time.process_time(), find_peak()
            try:
                read_checkpoint(path)
                answer = "READ"
            except CheckpointError as error:
                answer = str(error).replace(f"`{path}`", "").lstrip(" :")[:90].replace("|", "\\|")
            seconds, grown = time.process_time() - started, find_peak() - before
            size = path.stat().st_size
            print(f"| {path.name} | {size:,} | {seconds:.2f} | {grown:.0f} | {answer} |")
        outcomes = Counter[str]()
        path = Path(folder) / "altered.pth"
        for _, contents in checkpoints.mutations(options.seed, options.cases):
            path.write_bytes(contents)
            try:
                read_tensor_file(path)
                outcomes["read"] += 1
            except CheckpointError:
                outcomes["refused"] += 1
    print(f"\n{options.cases:,} altered files: {dict(outcomes)}; every other error would end this.")


if __name__ == "__main__":
    main()
