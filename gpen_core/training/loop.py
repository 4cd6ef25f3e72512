"""The training loop: steps and saves until the plan is done or the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .trainer import Trainer


def run(
    trainer: Trainer,
    folder: Path,
    *,
    minutes: float | None = None,
    save_every: float = 120,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Train until the plan's steps are done or `minutes` have passed, saving as it goes.

    Args:
        trainer: as made or resumed.
        folder: where `Trainer.save` writes, every `save_every` seconds and at the end.
        minutes: stop after this long; None never.
        save_every: seconds.
        on_step: called with the number of steps done and the losses; may raise to stop.

    Raises:
        TrainingError: a loss is no longer finite; what was saved before stays.
    """
    ranks, device = trainer.ranks, trainer.device
    started = saved = time.monotonic()
    sound = True
    try:
        while trainer.steps_done < trainer.plan.steps:
            losses = trainer.step()
            if on_step:
                on_step(trainer.steps_done, losses)
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
        if sound and ranks.first:
            trainer.save(folder)
