"""The training pairs of each step: clean faces and their degraded copies.

For a GPU they are made ahead, in threads, while it computes earlier steps.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..degradation.degrade import degrade
from ..names import COLORIZE
from .data import draw_batch
from .inputs import make_inputs

if TYPE_CHECKING:
    from ..evaluation.lazy_faces import LazyFaces
    from .plan import TrainingPlan

MAX_WORKERS = 4


class Pair(NamedTuple):
    """Clean faces and their degraded copies, [N, 3, S, S] in [0, 1] each."""

    clean: torch.Tensor
    degraded: torch.Tensor


def choose_workers(device: torch.device) -> int:
    """Return a number of threads: a GPU leaves the CPU idle, training on a CPU does not."""
    return min(MAX_WORKERS, os.cpu_count() or 1) if device.type == "cuda" else 0


class PairLoader:
    """Makes the pair of each step, which depends on the plan, the faces and the step alone.

    Args:
        plan: the plan of the run.
        crops: [N, 3, S, S] uint8 RGB, clean.
        device: where to make the pairs.
        part: the part of each batch to make.
        workers: number of threads that make the pairs of the next steps; 0 makes each pair when
            `load` asks for it.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        crops: torch.Tensor | LazyFaces,
        device: torch.device,
        *,
        part: slice,
        workers: int,
    ) -> None:
        self.plan, self.crops, self.device, self.part = plan, crops, device, part
        self.workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future[tuple[Pair, torch.cuda.Event | None]]] = {}

    def load(self, step: int) -> Pair:
        """Return the pair of `step` = 0, 1 …; in this order the threads have it ready.

        Raises:
            ImageError: no face can be read.
        """
        if not self.workers:
            return self._make(step)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.workers, "pairs", initializer=_use_separate_stream, initargs=(self.device,)
            )
        # For each thread one pair that it makes and one that waits.
        following = range(step + 1, min(step + 2 * self.workers, self.plan.steps))
        for other in self._ahead.keys() - {step, *following}:  # after `Trainer.resume`
            self._ahead.pop(other).cancel()
        for wanted in (step, *following):
            if wanted not in self._ahead:
                self._ahead[wanted] = self._pool.submit(self._make_ahead, wanted)
        pair, ready = self._ahead.pop(step).result()
        if ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready)
            for images in pair:
                images.record_stream(stream)  # keeps their memory until this stream is done
        return pair

    def close(self) -> None:
        """End the threads and forget their pairs; the next `load` starts them again."""
        self._ahead.clear()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _make_ahead(self, step: int) -> tuple[Pair, torch.cuda.Event | None]:
        """Make a pair in a thread; on a GPU the event tells when it is ready."""
        pair = self._make(step)
        if self.device.type != "cuda":
            return pair, None
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(self.device))
        return pair, ready

    def _make(self, step: int) -> Pair:
        # The batch takes an even seed and its degradation the next one, so that all differ.
        seed = (self.plan.seed << 32) + 2 * step
        clean = draw_batch(
            self.crops,
            self.plan.batch_size,
            seed=seed,
            part=self.part,
            device=self.device,
            keep_colour=self.plan.task == COLORIZE,
        )
        degraded = degrade(
            clean, seed=seed + 1, first=self.part.start, degradation=self.plan.degradation
        )
        first = self.part.start or 0
        return Pair(clean, make_inputs(degraded, self.plan.task, seed=seed + 1, first=first))


def _use_separate_stream(device: torch.device) -> None:
    """Give this thread a CUDA stream, to run beside other threads' work, and one CPU core."""
    if device.type == "cuda":
        torch.set_num_threads(1)
        torch.cuda.set_stream(torch.cuda.Stream(device))
