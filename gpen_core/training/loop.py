"""The training loop: steps, saves, logs, until the plan is done or the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import TrainingError
from .log import LOG_NAME, LossLog

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
    log_every: int = 50,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Train until the plan's steps are done or `minutes` have passed, saving as it goes.

    Args:
        trainer: as made or resumed.
        folder: where `Trainer.save` writes, every `save_every` seconds and at the end, and where
            `losses.tsv` is kept.
        minutes: stop after this long; None never.
        save_every: seconds.
        log_every: steps whose mean losses make one line of `losses.tsv`.
        on_step: called with the number of steps done and the losses; may raise to stop.

    Raises:
        TrainingError: a loss is no longer finite; what was saved before stays.
    """
    writes = trainer.ranks.first
    folder.mkdir(parents=True, exist_ok=True)
    names = ["learning_rate", "loss", *trainer.plan.loss_weights]
    if trainer.adversary:
        names += ["discriminator", "r1"]
    log = None
    if writes:
        log = LossLog(folder / LOG_NAME, names, every=log_every, step=trainer.steps_done)
    started = saved = time.monotonic()
    sound = True
    try:
        while trainer.steps_done < trainer.plan.steps:
            losses = trainer.step()
            rate = trainer.optimizer.param_groups[0]["lr"]
            if log:
                log.add(trainer.steps_done, {"learning_rate": rate} | losses)
            if on_step:
                on_step(trainer.steps_done, losses)
            now = time.monotonic()
            if writes and now - saved > save_every:
                trainer.save(folder)
                saved = now
            if minutes is not None and trainer.ranks.largest(now - started, trainer.device) > (
                minutes * 60
            ):
                break
    except TrainingError:
        sound = False
        raise
    finally:
        if sound and writes:
            trainer.save(folder)
