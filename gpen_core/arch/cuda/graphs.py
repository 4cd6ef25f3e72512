"""GPEN as CUDA graphs: its kernels are recorded once and started together, without Python between.

A forward pass is some 150 kernels, most of them short at batch 1; starting each from Python takes
longer than a fast GPU computes: on an H200 GPEN-512 takes 1.9 instead of 5 ms, GPEN-2048 4.4
instead of 5.4. It holds the memory of a pass, so nothing in gpen_core does this unasked:

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
"""Batch sizes recorded at a time; they share their memory, which is that of the largest."""


class Recorder:
    """Records what runs on a device; its recordings share memory and run one after the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._idle = torch.cuda.Event()

    def record(self, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], object]]:
        """What `run` returns, whose values are undefined until the function with it has run."""
        graph = torch.cuda.CUDAGraph()
        pool: Any = self._pool
        # What other threads do with the GPU meanwhile is none of this recording's business.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
        ):
            output = run()
        return output, graph.replay

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Where a recording may run: other threads' streams wait for each other."""
        with torch.cuda.device(self._device):
            self._idle.wait()
            yield
            self._idle.record()

    def finish(self) -> None:
        """Wait for the last pass, whose memory is about to be freed."""
        self._idle.synchronize()


@dataclass
class _Graph:
    """A recorded pass: what it reads, what it writes, and how it is started."""

    faces: torch.Tensor
    noise: list[torch.Tensor]  # [1, C, r, r] of each convolution above the input's size
    noise_seed: int  # that `noise` was drawn with
    output: torch.Tensor
    replay: Callable[[], object]


class GraphedGPEN:
    """Computes what a GPEN computes; `forward` for `restore_pixels` and `restore_image`.

    The first pass of a batch size runs as ever, which loads kernels and shows that memory suffices;
    the second is recorded, later ones only start the recording. It is recorded anew when a weight
    has moved, as hosts do that offload models, or was written to. Passes run plainly where they
    cannot be recorded: elsewhere than on CUDA, while training or with gradients, and after a
    recording has failed. Until `clear` is called, recordings hold the memory of their largest
    pass. Any thread may call.

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
        """The model's."""
        return self._model.config

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """The model's."""
        return self._model.dtype

    @property
    def sharpen(self) -> float:
        """The model's."""
        return self._model.sharpen

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """As the model: [N, 3, in, in] in [-1, 1] to [N, 3, out, out], on the model's device."""
        model = self._model
        if model.device.type not in DEVICES:
            self.clear()  # the host has put the model away, and wants the memory
            return model(faces, noise_seed=noise_seed)
        if self._refused or model.training or torch.is_grad_enabled() or not len(faces):
            return model(faces, noise_seed=noise_seed)
        with self._lock:
            self._forget_other_weights()
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
            return self._run(graph, faces, noise_seed)

    def clear(self) -> None:
        """Forget all recordings and free their memory."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._recorder is not None:
            self._recorder.finish()
        self._graphs.clear()
        self._recorder = None

    def _forget_other_weights(self) -> None:
        weights = self._model.fingerprint()
        if weights != self._weights:
            self._clear()
            self._weights = weights

    def _make_room(self) -> None:
        if len(self._graphs) < MOST_GRAPHS:
            return
        if self._recorder is not None:
            self._recorder.finish()
        del self._graphs[next(iter(self._graphs))]  # the one made first

    def _record(self, faces: torch.Tensor) -> _Graph | None:
        model = self._model

        def run() -> torch.Tensor:
            left = iter(drawn)
            return model.compute(x, lambda _: next(left))

        self._recorder = self._recorder or Recorder(model.device)
        try:
            # What is made in inference mode could not be written to outside it.
            with torch.inference_mode(False), torch.no_grad():
                x = faces.to(model.device, copy=True, memory_format=torch.contiguous_format)
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

    def _run(self, graph: _Graph, faces: torch.Tensor, noise_seed: int) -> torch.Tensor:
        assert self._recorder is not None
        with self._recorder.turn():
            graph.faces.copy_(faces, non_blocking=True)
            if graph.noise and noise_seed != graph.noise_seed:
                for noise, fresh in zip(graph.noise, self._draw(noise_seed), strict=True):
                    noise.copy_(fresh)
                graph.noise_seed = noise_seed
            graph.replay()
            return graph.output.clone()

    def _draw(self, seed: int) -> list[torch.Tensor]:
        """The noise of one pass, on the CPU, in the order in which the generator asks for it."""
        model = self._model
        fresh_noise = model.fresh_noise(seed)
        levels = range(model.encoder_levels, len(model.config.resolutions))
        return [fresh_noise(level) for level in levels for _ in range(2)]
