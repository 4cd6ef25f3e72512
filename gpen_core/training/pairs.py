"""The pairs that every step learns from; for a GPU made ahead, while it computes earlier steps."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..degradation.degrade import degrade
from .data import draw_batch

if TYPE_CHECKING:
    from ..evaluation.lazy_faces import LazyFaces
    from .plan import TrainingPlan

MOST_WORKERS = 4


class Pair(NamedTuple):
    """Clean faces and their degraded copies, [N, 3, S, S] in [0, 1] each."""

    clean: torch.Tensor
    degraded: torch.Tensor


def default_workers(device: torch.device) -> int:
    """Threads that make pairs: a GPU leaves the CPU idle, a CPU that trains has no time left."""
    return min(MOST_WORKERS, os.cpu_count() or 1) if device.type == "cuda" else 0


class Pairs:
    """Gives each step its pair, which follows from the plan, the faces and the step's number alone.

    Args:
        plan: what is trained.
        faces: [N, 3, S, S] uint8 RGB, or what stands for it.
        device: where pairs are made and wanted.
        share: which faces of a batch to make.
        workers: threads that make the pairs of the following steps; 0 makes each when it is asked
            for.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        faces: torch.Tensor | LazyFaces,
        device: torch.device,
        *,
        share: slice,
        workers: int,
    ) -> None:
        self.plan, self.faces, self.device, self.share = plan, faces, device, share
        self.workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future[tuple[Pair, torch.cuda.Event | None]]] = {}

    def of(self, step: int) -> Pair:
        """The pair of `step` = 0, 1 …; asked for in that order they are found ready.

        Raises:
            ImageError: no face can be read.
        """
        if not self.workers:
            return self._make(step)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.workers, "pairs", initializer=_own_stream, initargs=(self.device,)
            )
        # One that waits and one that is being made for each thread.
        following = range(step + 1, min(step + 2 * self.workers, self.plan.steps))
        for other in self._ahead.keys() - {step, *following}:  # after `Trainer.resume`
            self._ahead.pop(other).cancel()
        for wanted in (step, *following):
            if wanted not in self._ahead:
                self._ahead[wanted] = self._pool.submit(self._make_ahead, wanted)
        pair, made = self._ahead.pop(step).result()
        if made is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(made)
            for images in pair:
                images.record_stream(stream)  # its memory is not given away before
        return pair

    def close(self) -> None:
        """End the threads and forget what they made; another `of` starts them anew."""
        self._ahead.clear()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _make_ahead(self, step: int) -> tuple[Pair, torch.cuda.Event | None]:
        pair = self._make(step)
        if self.device.type != "cuda":
            return pair, None
        made = torch.cuda.Event()
        made.record(torch.cuda.current_stream(self.device))
        return pair, made

    def _make(self, step: int) -> Pair:
        # Seeds two apart: the batch's and its degradation's streams differ in every step.
        seed = (self.plan.seed << 32) + 2 * step
        clean = draw_batch(
            self.faces, self.plan.batch_size, seed=seed, share=self.share, device=self.device
        )
        degraded = degrade(
            clean, seed=seed + 1, first=self.share.start, degradation=self.plan.degradation
        )
        return Pair(clean, degraded)


def _own_stream(device: torch.device) -> None:
    """Let this thread's work on a GPU run beside that of others, on one core."""
    if device.type == "cuda":
        torch.set_num_threads(1)
        torch.cuda.set_stream(torch.cuda.Stream(device))
