"""Measures how the time of `paste` depends on the area of the frame, with the same faces in it.

    python benchmarks/paste.py [--megapixels 6 12 24 48] [--faces 29] [--repeats 7]

The results are in NOTES.md, section Paste.

Each frame is plain grey with the same number of portraits of the same size; crops are 512 px, as
for GPEN-512. `paste` returns a copy of the frame and a mask. Making those is timed by itself and
subtracted. Frames take turns, so that other work of the machine slows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from photographs import COLUMNS, ROWS, make_portraits

from gpen_core import Alignment, Crops, paste
from gpen_core.align import cut
from gpen_core.commands import bench, bench_timing


def place_crops(frame: torch.Tensor, faces: int, side: int, size: int) -> Alignment:
    """Return the alignment of crops that cover most of each portrait in a frame.

    Args:
        frame: [1, 3, H, W] from `make_portraits`.
        faces: how many portraits it has.
        side: side of a portrait in px.
        size: side of a crop in px.
    """
    height, width = frame.shape[2:]
    cell = width // COLUMNS, height // ROWS
    affine = torch.zeros(faces, 2, 3, dtype=torch.float64)
    linear = torch.tensor([[1.0, 0.1], [-0.1, 1.0]], dtype=torch.float64) * size / side
    for n in range(faces):
        corner = torch.tensor([n % COLUMNS * cell[0], n // COLUMNS * cell[1]])
        affine[n] = torch.cat([linear, -linear @ corner.double()[:, None]], dim=1)
    return Alignment(affine, size, torch.zeros(faces, dtype=torch.int64), (1, height, width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", nargs="+", type=float, default=[6, 12, 24, 48])
    parser.add_argument("--faces", type=int, default=29)
    parser.add_argument("--side", type=int, default=380, help="side of a portrait in px")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    frames = [make_portraits(m, options.faces, options.side) for m in options.megapixels]
    crops = []
    for frame in frames:
        where = place_crops(frame, options.faces, options.side, 512)
        crops.append(Crops(cut(frame, where).pixels.flip(1), where))
    whole: list[list[float]] = [[] for _ in frames]
    copy: list[list[float]] = [[] for _ in frames]
    for _ in range(options.repeats + 1):  # the first round warms up
        for n, frame in enumerate(frames):
            start = time.perf_counter()
            output = frame.clone(), frame.new_zeros(1, 1, *frame.shape[2:])
            copy[n].append(time.perf_counter() - start)
            del output
            start = time.perf_counter()
            pasted = paste(frame, crops[n])
            whole[n].append(time.perf_counter() - start)
            del pasted
    facts = {
        "faces": f"{options.faces}, {options.side} px each",
        "device": bench_timing.cpu_name(),
        **bench.describe_run(),
    }
    rows = [["frame", "paste", "copying the output", "paste without the copy", "× the frame above"]]
    before = None
    for frame, pasting, copying in zip(frames, whole, copy, strict=True):
        took, output = statistics.median(pasting[1:]), statistics.median(copying[1:])
        rest = took - output
        height, width = frame.shape[2:]
        rows.append(
            [
                f"{width} × {height}, {width * height / 1e6:.0f} MP",
                *(f"{s * 1e3:.0f} ms" for s in (took, output, rest)),
                "" if before is None else f"{rest / before:.2f}",
            ]
        )
        before = rest
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
