"""Measures each step of restoring a 12-megapixel photograph with many faces.

    python benchmarks/pipeline.py [PHOTOGRAPH] [--detector NAME…] [--dtype fp32] [--repeats 3]

The results are in NOTES.md, section Pipeline.

The photograph is enlarged to `--megapixels`; without one, a stand-in with 29 portraits is made. The
steps are: decode a JPEG, find faces with each detector, align, restore, paste, encode. The network
has random weights, because its time does not depend on their values.

Times are medians, except that the network runs once over all faces. The reference network
(`gpen_core/arch/reference.py`) runs over one face in a separate process, and its time is multiplied
by the number of faces. Weights of detectors are looked for in the catalogue's folders and in
`../shared/weights`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from photographs import load_photograph

from gpen_core import DetectorError, align, detect, load_detector, paste, restore
from gpen_core.commands import bench, bench_timing
from gpen_core.detectors import DETECTORS
from gpen_core.media import Picture, read_picture, write_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpen_core import GPEN, Faces

Result = TypeVar("Result")

SHARED = Path(__file__).parents[2] / "shared" / "weights"
FILES = {
    "retinaface_mobile0.25": SHARED / "detection_mobilenet0.25_Final.pth",
    "yunet": SHARED / "yunet_n_dynamic.onnx",
}


def time_call(function: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """Return the median seconds of `repeats` calls after a warm-up, and the last result."""
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


def measure_steps(
    options: argparse.Namespace, model: GPEN
) -> tuple[dict[str, float], torch.Tensor, int]:
    """Return the seconds of each step, the image [1, 3, H, W], and how many faces it has."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photograph.jpg"
        original = load_photograph(options.photograph, options.megapixels, options.faces)
        write_picture(file, Picture(original))
        seconds["decode"], picture = time_call(lambda: read_picture(file), options.repeats)
        image = picture.pixels.to(model.device)
        faces = measure_detectors(options, image, seconds)
        seconds["align"], crops = time_call(
            lambda: align(image, faces, size=options.size), options.repeats
        )
        restored = restore(model, crops[[0]])  # warms up
        wait_for_gpu()
        start = time.perf_counter()
        restored = restore(model, crops)
        wait_for_gpu()
        dtype = f"{model.dtype}".removeprefix("torch.")
        seconds[f"restore, GPEN-{options.size}, {dtype}"] = time.perf_counter() - start
        seconds["paste"], pasted = time_call(lambda: paste(image, restored), options.repeats)
        after = picture.with_pixels(pasted.image.cpu())
        for suffix in (".jpg", ".png"):
            target = Path(folder) / f"restored{suffix}"
            seconds[f"encode, {suffix}"], _ = time_call(lambda t=target: write_picture(t, after), 1)
    return seconds, image, len(faces)


def measure_detectors(
    options: argparse.Namespace, image: torch.Tensor, seconds: dict[str, float]
) -> Faces:
    """Add the seconds of each detector; return the faces that the first one found."""
    first = None
    for name in options.detector:
        try:
            detector = load_detector(name, device=options.device, weights=FILES.get(name))
        except DetectorError as error:
            print(f"{name} is not measured: {error}")
            continue
        took, faces = time_call(lambda d=detector: detect(d, image), options.repeats)
        seconds[f"detect, {name}: {len(faces)} faces"] = took
        first = faces if first is None else first
    if first is None or not len(first):
        raise SystemExit("No face was found, so there is nothing to align and restore.")
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photograph", nargs="?", type=Path)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--faces", type=int, default=29, help="portraits in the stand-in, up to 35")
    parser.add_argument("--detector", nargs="+", default=DETECTORS, choices=DETECTORS)
    parser.add_argument("--size", type=int, default=512, choices=bench.SIZES)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=("auto", *bench.DTYPES))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    task = bench_timing.Task(options.size, options.device, options.dtype, 1, 1, None)
    model = bench_timing.make_network(task)
    seconds, image, count = measure_steps(options, model)
    per_face = bench.run_in_process(
        bench_timing.time_reference,
        bench_timing.Task(options.size, options.device, "fp32", 1, options.repeats, None),
    ).seconds
    reference = per_face * count
    rest = sum(
        taken for step, taken in seconds.items()
        if not step.startswith(("detect", "restore", "encode, .png"))
    )  # fmt: skip
    first_detector = next(taken for step, taken in seconds.items() if step.startswith("detect"))
    seconds["everything but the network (first detector, .jpg)"] = rest + first_detector
    seconds[f"reference, float32, {count} × {per_face:.2f} s"] = reference
    height, width = image.shape[2:]
    facts = {
        "image": f"{width} × {height} px, {count} faces"
        f" ({options.photograph.name if options.photograph else 'stand-in'})",
        "device": bench_timing.cpu_name() if model.device.type == "cpu" else f"{model.device}",
        **bench.describe_run(),
    }
    rows = [["step", "median", "of the reference's time"]]
    rows += [[step, f"{s:.2f} s", f"{100 * s / reference:.1f} %"] for step, s in seconds.items()]
    print(bench.format_facts(facts), bench.format_table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
