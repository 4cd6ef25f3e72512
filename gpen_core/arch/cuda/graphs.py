"""Runs a GPEN as CUDA graphs: records its kernels once, then starts them together without Python.

A forward pass is about 150 kernels, most of them short at batch 1, and starting each from Python
takes longer than a fast GPU computes: with graphs, GPEN-512 takes 1.9 instead of 5 ms on an H200,
GPEN-2048 4.4 instead of 5.4. A graph holds the memory of a pass, so gpen_core makes none unasked.
Wrap the model and pass the wrapper as the model:

    restore_image(GraphedGPEN(model), detector, image)
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...devices import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .. import GPEN, GPENConfig

DEVICES = ("cuda",)
MOST_GRAPHS = 4
"""Batch sizes that stay recorded. Their graphs share memory, as much as the largest needs."""


class Recorder:
    """Records CUDA graphs on one device. They share memory, so they run one after the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._idle = torch.cuda.Event()

    def record(self, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], object]]:
        """Record `run`; return its result and a function that replays it.

        The values of the result are undefined until the first replay.
        """
        graph = torch.cuda.CUDAGraph()
        pool: Any = self._pool
        # "thread_local": other threads may use the GPU meanwhile without breaking the recording.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
        ):
            output = run()
        return output, graph.replay

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Replay within this context: the streams of other threads wait until it ends."""
        with torch.cuda.device(self._device):
            self._idle.wait()
            yield
            self._idle.record()

    def finish(self) -> None:
        """Wait for the last replay, before its memory is freed."""
        self._idle.synchronize()


@dataclass
class _Graph:
    """A recorded pass.

    Attributes:
        crops: the buffer that it reads.
        noise: the noise [1, C, r, r] of each convolution above the input's size.
        noise_seed: the seed of `noise`.
        output: the buffer that it writes.
        replay: starts the pass.
    """

    crops: torch.Tensor
    noise: list[torch.Tensor]
    noise_seed: int
    output: torch.Tensor
    replay: Callable[[], object]


class GraphedGPEN:
    """Computes the same as its GPEN; pass it to `restore` and `restore_image` as the model.

    The first pass of a batch size runs without a graph: it loads kernels and shows that memory
    suffices. The second pass is recorded, and later ones replay it. When a weight was written to,
    or has moved as in a host that offloads models, the graphs are dropped and recorded again. A
    pass runs without a graph wherever it cannot be recorded: on a device other than CUDA, while
    training, with gradients, and after a recording has failed. Until `clear` is called, the graphs
    hold the memory of their largest pass. Threads may share it.

    Args:
        model: from `load_gpen`.
    """

    def __init__(self, model: GPEN) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._graphs: dict[tuple[object, ...], _Graph | None] = {}
        self._weights: tuple[object, ...] = ()
        self._recorder: Recorder | None = None
        self._refused = False

    @property
    def config(self) -> GPENConfig:
        """The model's sizes and widths."""
        return self._model.config

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the model's convolutions compute in."""
        return self._model.dtype

    @property
    def sharpen(self) -> float:
        """The amount of sharpening that the model's results need."""
        return self._model.sharpen

    @property
    def task(self) -> str | None:
        """What the model was trained for, if its file tells."""
        return self._model.task

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Restore crops [N, 3, in, in] in [-1, 1] to [N, 3, out, out], on the model's device."""
        model = self._model
        if model.device.type not in DEVICES:
            self.clear()  # the host has offloaded the model and needs the memory
            return model(faces, noise_seed=noise_seed)
        if self._refused or model.training or torch.is_grad_enabled() or not len(faces):
            return model(faces, noise_seed=noise_seed)
        with self._lock:
            self._drop_stale_graphs()
            key = (tuple(faces.shape), faces.dtype)
            if key not in self._graphs:
                result = model(faces, noise_seed=noise_seed)
                self._make_room()
                self._graphs[key] = None
                return result
            graph = self._graphs[key]
            if graph is None:
                graph = self._record(faces)
                if graph is None:
                    return model(faces, noise_seed=noise_seed)
                self._graphs[key] = graph
            return self._replay(graph, faces, noise_seed)

    def clear(self) -> None:
        """Drop all graphs and free their memory."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._recorder is not None:
            self._recorder.finish()
        self._graphs.clear()
        self._recorder = None

    def _drop_stale_graphs(self) -> None:
        weights = self._model.fingerprint()
        if weights != self._weights:
            self._clear()
            self._weights = weights

    def _make_room(self) -> None:
        if len(self._graphs) < MOST_GRAPHS:
            return
        if self._recorder is not None:
            self._recorder.finish()
        del self._graphs[next(iter(self._graphs))]  # the oldest

    def _record(self, crops: torch.Tensor) -> _Graph | None:
        model = self._model

        def run() -> torch.Tensor:
            left = iter(drawn)
            return model.compute(x, lambda _: next(left))

        self._recorder = self._recorder or Recorder(model.device)
        try:
            # Tensors made in inference mode could not be written to outside it.
            with torch.inference_mode(False), torch.no_grad():
                x = crops.to(model.device, copy=True, memory_format=torch.contiguous_format)
                drawn = [noise.to(model.device) for noise in self._draw(0)]
                output, replay = self._recorder.record(run)
        except RuntimeError as error:
            self._clear()
            if is_out_of_memory(error):
                raise
            self._refused = True
            warnings.warn(
                f"CUDA cannot record this network ({error}); it runs without graphs.", stacklevel=3
            )
            return None
        return _Graph(x, drawn, 0, output, replay)

    def _replay(self, graph: _Graph, crops: torch.Tensor, noise_seed: int) -> torch.Tensor:
        assert self._recorder is not None
        with self._recorder.turn():
            graph.crops.copy_(crops, non_blocking=True)
            if graph.noise and noise_seed != graph.noise_seed:
                for noise, fresh in zip(graph.noise, self._draw(noise_seed), strict=True):
                    noise.copy_(fresh)
                graph.noise_seed = noise_seed
            graph.replay()
            return graph.output.clone()

    def _draw(self, seed: int) -> list[torch.Tensor]:
        """Draw the noise of one pass on the CPU, in the order in which the generator asks."""
        model = self._model
        fresh_noise = model.fresh_noise(seed)
        levels = range(model.encoder_levels, len(model.config.resolutions))
        return [fresh_noise(level) for level in levels for _ in range(2)]
