"""Functions that time one network each; `gpen bench` calls each in a separate process."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..arch import GPEN


@dataclass(frozen=True)
class Task:
    """A network to time, and how.

    Attributes:
        source: a file or a name of the catalogue; or a published size in pixels, which means random
            weights.
        device: the name of the device.
        dtype: the name of the dtype.
        batch: faces per forward pass.
        repeats: number of timed forward passes; the first pass is extra.
        threads: number of CPU threads; None keeps PyTorch's default.
    """

    source: str | int
    device: str
    dtype: str
    batch: int
    repeats: int
    threads: int | None


@dataclass(frozen=True)
class Timing:
    """The measurements of one network.

    Attributes:
        name: the name of the implementation and its dtype.
        batch: faces per forward pass.
        device: the name of the processor or GPU.
        seconds: median of the timed forward passes.
        first: seconds of the first pass, including compilation.
        load: seconds to load the weights; None if there was nothing to load.
        peak: peak memory in bytes, of the process or on the GPU; None if it cannot be read.
    """

    name: str
    batch: int
    device: str
    seconds: float
    first: float
    load: float | None
    peak: int | None


def time_gpen(task: Task) -> Timing:
    """Time the network of this project."""
    start = time.perf_counter()
    model = make_network(task)
    load = time.perf_counter() - start if isinstance(task.source, str) else None
    return _time_torch(task, model, model, f"gpen_core, {_name_dtype(model)}", load)


def time_graphed(task: Task) -> Timing:
    """Time the network of this project as a CUDA graph, after the passes that record it."""
    from ..arch.cuda.graphs import GraphedGPEN

    model = make_network(task)
    name = f"gpen_core, {_name_dtype(model)}, CUDA graph"
    return _time_torch(task, model, GraphedGPEN(model), name, None)


def time_reference(task: Task) -> Timing:
    """Time the plain network in float32: it computes what the published code does, in its way."""
    from ..arch.reference import ReferenceGPEN

    model = make_network(replace(task, dtype="fp32"))
    return _time_torch(task, model, ReferenceGPEN(model), "reference, float32", None)


def export_onnx(task: Task, path: str) -> None:
    """Export the plain network to ONNX; external data is written beside `path`."""
    import torch

    from ..arch.reference import ReferenceGPEN

    model = make_network(replace(task, dtype="fp32", device="cpu"))
    size = model.config.in_size
    torch.onnx.export(
        ReferenceGPEN(model).eval(),
        (torch.zeros(task.batch, 3, size, size),),
        path,
        dynamo=True,
        verbose=False,
        input_names=["input"],
        output_names=["output"],
    )


def time_onnxruntime(task: Task, path: str) -> Timing:
    """Time ONNX Runtime on the CPU with the network of `export_onnx`."""
    import numpy as np
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if task.threads is not None:
        options.intra_op_num_threads = task.threads
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    shape = session.get_inputs()[0].shape
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    first, median = _time(lambda: session.run(None, {"input": x}), task.repeats)
    name = f"ONNX Runtime {onnxruntime.__version__}, float32"
    return Timing(name, task.batch, cpu_name(), median, first, load, peak_of_process())


def make_network(task: Task) -> GPEN:
    """Load the network of a task, or make one of a published size with random weights."""
    import torch

    from ..arch import GPEN, GPENConfig
    from ..checkpoints.loading import load_gpen
    from ..devices import resolve_device, resolve_dtype

    if task.threads is not None:
        torch.set_num_threads(task.threads)
    if isinstance(task.source, str):
        return load_gpen(
            task.source, device=task.device, dtype=task.dtype, engine="gpen", verify=False
        )
    device = resolve_device(task.device)
    dtype = resolve_dtype(task.dtype, device)
    torch.manual_seed(0)
    network = GPEN(GPENConfig.released(task.source)).eval().requires_grad_(False)
    return network.set_dtype(dtype).to(device)


def _name_dtype(model: GPEN) -> str:
    return str(model.dtype).removeprefix("torch.")


def _time_torch(
    task: Task,
    model: GPEN,
    forward: Callable[[torch.Tensor], torch.Tensor],
    name: str,
    load: float | None,
) -> Timing:
    import torch

    size, device = model.config.in_size, model.device
    x = torch.rand(task.batch, 3, size, size).to(device) * 2 - 1
    with torch.inference_mode():
        if device.type == "cuda":
            first, median = _time_on_cuda(lambda: forward(x), task.repeats, device)
            peak = torch.cuda.max_memory_allocated(device)
            place = torch.cuda.get_device_name(device)
            return Timing(name, task.batch, place, median, first, load, peak)
        wait = torch.mps.synchronize if device.type == "mps" else lambda: None
        first, median = _time(lambda: (forward(x), wait()), task.repeats)
    return Timing(name, task.batch, cpu_name(), median, first, load, peak_of_process())


def _time_on_cuda(
    run: Callable[[], object], repeats: int, device: torch.device
) -> tuple[float, float]:
    """Time passes like `_time`, with CUDA events; the two passes after the first are not counted.

    The time of a pass runs from its start until the GPU has finished it. So it includes the time in
    which the GPU waits for Python.
    """
    import torch

    def time_once() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    with torch.cuda.device(device):
        first, *seconds = [time_once() for _ in range(3 + repeats)]
    return first, statistics.median(seconds[2:])


def _time(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the seconds of the first pass, and the median of `repeats` further passes."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds[0], statistics.median(seconds[1:])


def cpu_name() -> str:
    """Return the model name of the CPU."""
    import platform
    from pathlib import Path

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def peak_of_process() -> int | None:
    """Return the peak memory of this process in bytes; None if it cannot be read (Windows)."""
    import re
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, getrusage starts with the peak of the parent process.
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) << 10
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
