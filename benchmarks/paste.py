"""How the time of pasting depends on the frame's area, with the same faces in it.

    python benchmarks/paste.py [--megapixels 6 12 24 48] [--faces 29] [--repeats 7]

Frames are plain grey with so many portraits of equal size; crops are GPEN-512's. The copy that
`paste` returns, and its empty mask, are made alone as well and taken off. Frames take turns, so
that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from photographs import COLUMNS, ROWS, portraits

from gpen_core import Alignment, Crops, paste
from gpen_core.align import cut
from gpen_core.commands import bench, bench_timing


def place(frame: torch.Tensor, faces: int, side: int, size: int) -> Alignment:
    """Crops that cover most of each portrait of `side` px in a frame of `portraits`."""
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
    parser.add_argument("--side", type=int, default=380, help="of a portrait, in pixels")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    frames = [portraits(m, options.faces, options.side) for m in options.megapixels]
    crops = []
    for frame in frames:
        where = place(frame, options.faces, options.side, 512)
        crops.append(Crops(cut(frame, where).pixels.flip(1), where))
    whole: list[list[float]] = [[] for _ in frames]
    copy: list[list[float]] = [[] for _ in frames]
    for _ in range(options.repeats + 1):  # the first warms up
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
    rows = [["frame", "paste", "output copy", "paste without it", "× the frame above"]]
    before = None
    for frame, all_of_it, copied in zip(frames, whole, copy, strict=True):
        took, output = statistics.median(all_of_it[1:]), statistics.median(copied[1:])
        own = took - output
        height, width = frame.shape[2:]
        rows.append(
            [
                f"{width} × {height}, {width * height / 1e6:.0f} MP",
                *(f"{s * 1e3:.0f} ms" for s in (took, output, own)),
                "" if before is None else f"{own / before:.2f}",
            ]
        )
        before = own
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
