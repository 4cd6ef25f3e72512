"""Restores photographs for a long time and measures whether memory, threads or handles grow.

    python benchmarks/soak.py [--minutes 20] [--most 2000] [--seed 0]      (`make soak`)

The results are in NOTES.md, section Long runs. Every step draws another size, model, detector (of
those whose weights are here) and options. One step in ten is cancelled at a random point of its
progress, and a run after it must give the result of an undisturbed run. The script fails if
resident memory grows by 1 % or more in the second half, or if threads or open files grow at all.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import torch
from photographs import make_portraits
from pipeline import FILES

import gpen_core as gpen
from gpen_core.commands import bench, bench_timing
from gpen_core.detectors import Detector
from gpen_core.names import DETECTORS
from gpen_core.warp import resize

SIDES = (160, 224, 320, 448, 640)
CANCELLED = 0.1
GROWTH = 0.01
"""Share by which resident memory may grow in the second half."""


class Cancelled(BaseException):
    """Raised by a callback, as a host raises it when its user cancels."""


class Usage(NamedTuple):
    """Bytes of resident memory, threads of Python, and open files of this process."""

    resident: int
    threads: int
    files: int


def read_usage() -> Usage:
    """Read what this process holds now (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Usage(pages * 4096, threading.active_count(), files)


def load_models(seed: int) -> list[gpen.GPEN]:
    """The built-in model in two dtypes, and a small one with random weights and a larger output."""
    torch.manual_seed(seed)
    widths = (16, 16, 16, 8, 8, 8)
    small = gpen.GPEN(gpen.GPENConfig(64, 128, widths, style_dim=16, mapping_layers=2)).eval()
    built_in = [gpen.load_gpen("builtin", device="cpu", dtype=dtype) for dtype in ("fp32", "bf16")]
    return [*built_in, small.requires_grad_(False)]


def load_detectors() -> list[Detector]:
    """Load every detector whose weights are here."""
    found = []
    for name in DETECTORS:
        with contextlib.suppress(gpen.GPENError):
            found.append(gpen.load_detector(name, device="cpu", weights=FILES.get(name)))
    return found


def cancel_after(calls: int):
    """Make a callback that raises Cancelled at its call number `calls`."""
    left = [calls]

    def on_progress(done: int, total: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cancelled

    return on_progress


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--most", type=int, default=2000, help="restorations (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    models = load_models(options.seed)
    detectors = load_detectors()
    portraits = make_portraits(0.3, 2)
    reference = gpen.restore_image(models[0], detectors[0], portraits).image
    end, done, cancelled = time.monotonic() + 60 * options.minutes, 0, 0
    usage: list[Usage] = []
    while done < options.most and time.monotonic() < end:
        side = draw.choice(SIDES)
        image = resize(portraits, side, side * 4 // 3).clamp(0, 1)
        model, detector = draw.choice(models), draw.choice(detectors)
        choices = {"strength": draw.random(), "batch_size": draw.choice((None, 1, 2))}
        if draw.random() < CANCELLED:
            callback = cancel_after(draw.randrange(4))
            try:
                gpen.restore_image(
                    model, detector, image, on_search=callback, on_progress=callback, **choices
                )
            except Cancelled:
                cancelled += 1
            found = gpen.restore_image(models[0], detectors[0], portraits).image
            if not torch.equal(found, reference):
                raise SystemExit("A cancelled run changed the result of the next one.")
        else:
            gpen.restore_image(model, detector, image, **choices)
        done += 1
        if done % 10 == 0:
            usage.append(read_usage())
    return report(usage, done, cancelled)


def report(usage: list[Usage], done: int, cancelled: int) -> int:
    """Print what the run held at its middle and at its end; return 1 if it grew."""
    if len(usage) < 4:
        raise SystemExit(f"{done} restorations are too few to tell; give it more minutes.")
    middle, last = usage[len(usage) // 2], usage[-1]
    growth = last.resident / middle.resident - 1
    facts = {
        "restorations": f"{done}, {cancelled} of them cancelled",
        "device": bench_timing.cpu_name(),
        **bench.describe_run(),
    }
    rows = [["", "after a tenth", "middle", "end"]]
    tenth = usage[len(usage) // 10]
    rows.append(["resident memory", *(f"{u.resident / 1e6:.0f} MB" for u in (tenth, middle, last))])
    rows.append(["threads", *(f"{u.threads}" for u in (tenth, middle, last))])
    rows.append(["open files", *(f"{u.files}" for u in (tenth, middle, last))])
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")
    print(f"\nMemory changed by {growth:+.2%} in the second half (allowed: below {GROWTH:.0%}).")
    grew = growth >= GROWTH or last.threads > middle.threads or last.files > middle.files
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
