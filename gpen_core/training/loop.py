"""The training loop: steps and saves until the plan is done or the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .step_losses import Figures
    from .trainer import Trainer


def run(
    trainer: Trainer,
    folder: Path,
    *,
    minutes: float | None = None,
    save_every: float = 120,
    read_every: int = 1,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Train until the plan's steps are done or `minutes` have passed, saving as it goes.

    Args:
        trainer: as made or resumed.
        folder: where `Trainer.save` writes, every `save_every` seconds and at the end.
        minutes: stop after this long; None never.
        save_every: seconds.
        read_every: steps after which a GPU is waited for: losses are read, and the time is looked
            at. So many can be lost to one that is no longer finite.
        on_step: called with the number of each step and its losses, when they are read; may raise
            to stop.

    Raises:
        TrainingError: a loss is no longer finite, or nothing can be saved; what was saved before
            stays.
    """
    ranks, device = trainer.ranks, trainer.device
    started = saved = time.monotonic()
    unread: list[Figures] = []
    sound = True
    try:
        while trainer.steps_done < trainer.plan.steps:
            unread.append(trainer.advance())
            if trainer.steps_done % read_every and trainer.steps_done < trainer.plan.steps:
                continue
            while unread:
                losses = unread[0].read()
                step = unread.pop(0).step
                if on_step:
                    on_step(step, losses)
            now = time.monotonic()
            if ranks.first and now - saved > save_every:
                trainer.save(folder)
                saved = now
            # All processes must stop after the same step, whatever their clocks say.
            if minutes is not None and ranks.largest(now - started, device) > minutes * 60:
                break
    except TrainingError:
        sound = False
        raise
    finally:
        trainer.pairs.close()
        if sound and not trainer.torn and ranks.first:
            for figures in unread:  # a state that is not sound must not replace one that is
                figures.read()
            trainer.save(folder)
