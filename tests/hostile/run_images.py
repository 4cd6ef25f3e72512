"""Attack the readers of image files by hand: a table of all attacks, then altered files.

    python tests/hostile/run_images.py --cases 10000

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

import images  # noqa: E402
from run_checkpoints import find_peak  # noqa: E402

from gpen_core.errors import ImageError  # noqa: E402
from gpen_core.media import read_picture  # noqa: E402


def read(path: Path) -> str:
    """The answer of our reader: the size of the picture, or the beginning of the error."""
    notices: list[str] = []
    try:
        size = read_picture(path, on_damage=notices.append).size
    except ImageError as error:
        return str(error).replace(str(path), "").lstrip(" :")[:90].replace("|", "\\|")
    notice = "".join(notices).replace(str(path), "")
    return f"read, {size[0]} × {size[1]}{';' if notice else ''}{notice}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=29)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| file | bytes | s | MB | answer |\n|---|---|---|---|---|")
        for name, contents in images.make_attacks().items():
            path = Path(folder) / name
            path.write_bytes(contents)
            started, before = time.process_time(), find_peak()
            answer = read(path)
            seconds, grown = time.process_time() - started, find_peak() - before
            print(f"| {name} | {len(contents):,} | {seconds:.2f} | {grown:.0f} | {answer} |")
        outcomes = Counter[str]()
        for name, contents in images.mutations(options.seed, options.cases):
            path = Path(folder) / name.partition("_")[2]
            path.write_bytes(contents)
            outcomes["read" if read(path).startswith("read") else "refused"] += 1
    print(f"\n{options.cases:,} altered files: {dict(outcomes)}; every other error would end this.")


if __name__ == "__main__":
    main()
