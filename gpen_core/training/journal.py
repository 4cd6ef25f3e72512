"""The records of a run: tables of losses and scores, sheets of samples, TensorBoard."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from ..evaluation.report import draw_contact_sheet
from ..evaluation.scores import DegradationRounds, Scores, evaluate
from ..files import write_atomically
from ..media import write_image
from ..restore import restore_pixels
from .inputs import make_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import torch

    from .trainer import Trainer

LOSSES_NAME = "losses.tsv"
SCORES_NAME = "scores.tsv"
SAMPLES_NAME = "samples"
BOARD_NAME = "tensorboard"


class Journal:
    """Records how a run goes; call `record` after every step.

    Args:
        trainer: fresh or resumed; samples are restored with the running mean of its weights.
        folder: where to write `losses.tsv`, `scores.tsv`, `samples/` and `tensorboard/`.
        log_every: number of steps whose mean losses make one line.
        samples: [N, 3, S, S] uint8 RGB, faces to restore and score from time to time; None for
            none.
        sample_every: number of steps between two scores of the samples.
        board: also write for TensorBoard.

    Raises:
        TrainingError: the folder cannot be made, or TensorBoard is asked for but not installed.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        *,
        log_every: int = 50,
        samples: torch.Tensor | None = None,
        sample_every: int = 500,
        board: bool = False,
    ) -> None:
        self.trainer, self.folder = trainer, folder
        self.log_every, self.samples, self.sample_every = log_every, samples, sample_every
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{folder} cannot be the folder of a run: {error.strerror}. Name another one."
            ) from error
        names = ["learning_rate", "loss", *trainer.plan.loss_weights]
        if trainer.adversary:
            names += ["discriminator", "r1"]
        done = trainer.steps_done
        self._losses = Table(folder / LOSSES_NAME, names, step=done)
        self._scores = Table(folder / SCORES_NAME, list(Scores.__annotations__), step=done)
        self._values = defaultdict[str, list[float]](list)
        self._board = _open_board(folder / BOARD_NAME, done) if board else None

    def record(self, step: int, losses: Mapping[str, float]) -> None:
        """Take the losses of `step`; write their means and score the samples when it is time."""
        plan = self.trainer.plan
        rate = plan.learning_rate * plan.learning_rate_factor(step - 1)
        for name, value in {"learning_rate": rate, **losses}.items():
            self._values[name].append(value)
        if step % self.log_every == 0:
            means = {name: sum(values) / len(values) for name, values in self._values.items()}
            self._values.clear()
            self._losses.append(step, means)
            self._add_scalars(step, "loss", means)
        if self.samples is not None and step % self.sample_every == 0:
            self.score_samples(step, self.samples)

    def score_samples(self, step: int, samples: torch.Tensor) -> None:
        """Restore the samples, write a contact sheet of them, and write their scores."""
        model, plan = self.trainer.ema, self.trainer.plan

        def change(degraded: torch.Tensor, seed: int) -> torch.Tensor:
            return make_inputs(degraded, plan.task, seed=seed)

        rounds = DegradationRounds(plan.degradation, change=change)

        def restore(pixels: torch.Tensor) -> torch.Tensor:
            return restore_pixels(model, pixels)

        sheet = draw_contact_sheet(restore, samples, rounds=rounds)
        folder = self.folder / SAMPLES_NAME
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{step:07}.jpg", sheet)
        scores = asdict(evaluate(restore, samples, rounds=rounds))
        self._scores.append(step, scores)
        self._add_scalars(step, "score", scores)
        if self._board:
            self._board.add_image("degraded, restored, clean", sheet[0], step)

    def close(self) -> None:
        """Write what is still buffered for TensorBoard."""
        if self._board:
            self._board.close()

    def _add_scalars(self, step: int, group: str, values: Mapping[str, float]) -> None:
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)


class Table:
    """A file of values separated by tabs, one line per step; the first column is the step.

    Opening an existing file removes its damaged lines and those after `step`: an interruption has
    undone that work.

    Args:
        path: the file; the first `append` makes it, with a line of the columns' names.
        columns: names of the columns after `step`.
        step: number of steps done.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, step: int) -> None:
        self.path, self.columns = path, ["step", *columns]
        if path.exists():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                lines = (line.replace("\0", "") for line in file)  # a power cut leaves zeros
                rows = [
                    {name: row.get(name) or "" for name in self.columns}
                    for row in csv.DictReader(lines, delimiter="\t")
                ]
            rows = [r for r in rows if r["step"].isdecimal() and int(r["step"]) <= step]
            with write_atomically(path, overwrite=True) as scratch:
                self._write(scratch, rows)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write one line; a column without a value stays empty."""
        texts = {name: f"{value:.6g}" for name, value in values.items()}
        self._write(self.path, [{"step": step} | texts])

    def _write(self, path: Path, rows: Iterable[Mapping[str, object]]) -> None:
        fresh = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns, delimiter="\t", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)


def _open_board(folder: Path, steps_done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "--tensorboard needs the package tensorboard, which is not installed: "
            'python -m pip install "gpen-restore[train]". losses.tsv is written without it.'
        ) from error
    # Hide what was written about steps that an interruption has undone.
    return SummaryWriter(str(folder), purge_step=steps_done + 1)
