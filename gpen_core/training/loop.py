"""The training loop: steps and saves until the plan is done or the time is up."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .step_losses import StepLosses
    from .trainer import Trainer

    OnStep = Callable[[int, dict[str, float]], None]


def run_training(
    trainer: Trainer,
    folder: Path,
    *,
    minutes: float | None = None,
    save_every: float = 120,
    read_every: int = 1,
    on_step: OnStep | None = None,
) -> None:
    """Train until the plan's steps are done or `minutes` have passed, and save from time to time.

    Args:
        trainer: fresh or resumed.
        folder: where `Trainer.save` writes, every `save_every` seconds and at the end.
        minutes: stop after this long; None does not stop.
        save_every: seconds between two saves.
        read_every: number of steps after which the losses are read, which waits for a GPU, and the
            time is checked. When a loss is no longer finite, up to this many steps are lost.
        on_step: called with the number of each step and its losses, once they are read; may raise
            to stop.

    Raises:
        TrainingError: a loss is no longer finite, or the state cannot be saved. An earlier saved
            state stays.
    """
    ranks, device = trainer.ranks, trainer.device
    started = saved = time.monotonic()
    unread: list[StepLosses] = []
    with _save_at_end(trainer, folder, unread):
        while trainer.steps_done < trainer.plan.steps:
            _advance(trainer, unread, read_every)
            _read(unread, on_step)
            now = time.monotonic()
            if ranks.is_first and now - saved > save_every:
                trainer.save(folder)
                saved = now
            # All processes must stop after the same step, whatever their clocks say.
            if minutes is not None and ranks.find_max(now - started, device) > minutes * 60:
                break


def _advance(trainer: Trainer, unread: list[StepLosses], read_every: int) -> None:
    """Train up to the next multiple of `read_every` steps, or to the last step."""
    while True:
        unread.append(trainer.advance())
        if trainer.steps_done % read_every == 0 or trainer.steps_done >= trainer.plan.steps:
            return


def _read(unread: list[StepLosses], on_step: OnStep | None) -> None:
    """Read the losses of `unread`, and take each step out of it."""
    while unread:
        losses = unread[0].read()
        step = unread.pop(0).step
        if on_step:
            on_step(step, losses)


@contextmanager
def _save_at_end(trainer: Trainer, folder: Path, unread: list[StepLosses]) -> Iterator[None]:
    """Save the state when the block ends or is interrupted, unless the state is unsound."""
    sound = True
    try:
        yield
    except TrainingError:
        sound = False
        raise
    finally:
        trainer.pairs.close()
        if sound and not trainer.is_mid_step and trainer.ranks.is_first:
            for losses in unread:  # a loss that is not finite raises here, before the save
                losses.read()
            trainer.save(folder)
