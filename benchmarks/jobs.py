"""How long `gpen restore` takes over a folder, in one process and with --jobs, by turns.

python benchmarks/jobs.py            # 24 photographs of 1 MP with one face, some minutes
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

FACE = Path(__file__).resolve().parents[1] / "weights" / "clean_face.jpg"


def make_photographs(folder: Path, count: int) -> None:
    folder.mkdir()
    with Image.open(FACE) as face:
        for number in range(count):
            photograph = Image.new("RGB", (1152, 896), (90 + number, 110, 120))
            photograph.paste(face.resize((320, 320)), (200 + 8 * number, 300))
            photograph.save(folder / f"{number:03}.jpg", quality=92)


def measure(words: list[str]) -> tuple[float, float]:
    """Return the seconds of the clock, and of all processors, that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gpen_core", *words], check=True, capture_output=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[0, 1, 2], help="0: no --jobs")
    parser.add_argument("options", nargs="*", help="of gpen restore, after --")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {args.files} photographs")
    found: dict[int, list[tuple[float, float]]] = {jobs: [] for jobs in args.jobs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photographs(folder / "in", args.files)
        words = ["restore", str(folder / "in"), "--device", "cpu", *args.options]
        for number in range(args.repeats):
            for jobs in args.jobs:
                more = ["--jobs", str(jobs)] if jobs else []
                output = str(folder / f"out{number}-{jobs}")
                found[jobs].append(measure([*words, *more, "-o", output]))
                print(f"{jobs}: {found[jobs][-1][0]:.1f} s", file=sys.stderr)
    for jobs, times in found.items():
        wall, used = (statistics.median(column) for column in zip(*times, strict=True))
        label = f"--jobs {jobs}" if jobs else "no --jobs"
        least = min(wall for wall, _ in times)
        print(f"{label}: {wall:.1f} s (least {least:.1f}), {used:.1f} s of processor time")


if __name__ == "__main__":
    main()
