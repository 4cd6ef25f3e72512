"""How long each step takes of restoring a 12-megapixel photograph with many faces.

    python benchmarks/pipeline.py [PHOTOGRAPH] [--detector NAME…] [--dtype fp32] [--repeats 3]

The photograph is enlarged to the area asked for; without one, a stand-in with 29 portraits is made.
It is written as a JPEG and then decoded, searched by every detector, aligned, restored with GPEN
(random weights: its time does not depend on their values), pasted and encoded again. Medians; the
network runs once over all faces, and the plain one, `gpen_core/arch/reference.py`, over one face
in a process of its own, which then counts for each. Detectors' weights are looked for in the
catalogue's folders and in `../shared/weights`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from photographs import photograph

from gpen_core import DetectorError, align, detect, load_detector, paste, restore
from gpen_core.commands import bench, bench_timing
from gpen_core.detectors import DETECTORS
from gpen_core.media import Picture, read_picture, write_picture

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

SHARED = Path(__file__).parents[2] / "shared" / "weights"
FILES = {
    "retinaface_mobile0.25": SHARED / "detection_mobilenet0.25_Final.pth",
    "yunet": SHARED / "yunet_n_dynamic.onnx",
}


def timed(function: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """The median of so many calls, after one that warms up, and what the last one gave."""
    result = function()
    seconds = []
    for _ in range(repeats):
        wait_for_gpu()
        start = time.perf_counter()
        result = function()
        wait_for_gpu()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photograph", nargs="?", type=Path)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--faces", type=int, default=29, help="in the stand-in, up to 35")
    parser.add_argument("--detector", nargs="+", default=DETECTORS, choices=DETECTORS)
    parser.add_argument("--size", type=int, default=512, choices=bench.SIZES)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=("auto", *bench.DTYPES))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    task = bench_timing.Task(options.size, options.device, options.dtype, 1, 1, None)
    model = bench_timing.make_network(task)
    dtype = f"{model.dtype}".removeprefix("torch.")
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photograph.jpg"
        original = photograph(options.photograph, options.megapixels, options.faces)
        write_picture(file, Picture(original))
        seconds["decode"], picture = timed(lambda: read_picture(file), options.repeats)
        image = picture.pixels.to(model.device)
        chosen = None
        for name in options.detector:
            try:
                detector = load_detector(name, device=options.device, weights=FILES.get(name))
            except DetectorError as error:
                print(f"{name} is not measured: {error}")
                continue
            took, faces = timed(lambda d=detector: detect(d, image), options.repeats)
            seconds[f"detect, {name}: {len(faces)} faces"] = took
            chosen = faces if chosen is None else chosen
        if chosen is None or not len(chosen):
            raise SystemExit("No face was found, so there is nothing to align and restore.")
        seconds["align"], crops = timed(
            lambda: align(image, chosen, size=options.size), options.repeats
        )
        restored = restore(model, crops[[0]])  # warms up
        wait_for_gpu()
        start = time.perf_counter()
        restored = restore(model, crops)
        wait_for_gpu()
        network = f"restore, GPEN-{options.size}, {dtype}"
        seconds[network] = time.perf_counter() - start
        seconds["paste"], pasted = timed(lambda: paste(image, restored), options.repeats)
        after = picture.with_pixels(pasted.image.cpu())
        for suffix in (".jpg", ".png"):
            target = Path(folder) / f"restored{suffix}"
            seconds[f"encode, {suffix}"], _ = timed(lambda t=target: write_picture(t, after), 1)

    plain = bench.run_in_process(
        bench_timing.time_reference,
        bench_timing.Task(options.size, options.device, "fp32", 1, options.repeats, None),
    )
    each = plain.seconds
    reference = each * len(chosen)
    rest = sum(
        taken for stage, taken in seconds.items()
        if not stage.startswith(("detect", "restore", "encode, .png"))
    )  # fmt: skip
    found_first = next(taken for stage, taken in seconds.items() if stage.startswith("detect"))
    seconds["all but the network (first detector, .jpg)"] = rest + found_first
    seconds[f"plain network, float32, {len(chosen)} × {each:.2f} s"] = reference
    height, width = image.shape[2:]
    facts = {
        "image": f"{width} × {height} px, {len(chosen)} faces"
        f" ({options.photograph.name if options.photograph else 'stand-in'})",
        "device": bench_timing.cpu_name() if model.device.type == "cpu" else f"{model.device}",
        **bench.describe_run(),
    }
    rows = [["step", "median", "of the plain network's time"]]
    rows += [[stage, f"{s:.2f} s", f"{100 * s / reference:.1f} %"] for stage, s in seconds.items()]
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
