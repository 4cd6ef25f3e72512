"""`gpen train`: trains or resumes, shows the progress, and keeps the journal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from .train_options import add_train_arguments

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import torch

    from ..evaluation.lazy_faces import LazyFaces
    from ..training.ranks import Ranks
    from ..training.trainer import Trainer

__all__ = ["add_train_arguments", "train"]

READ_EVERY = 10
"""Steps that a GPU gets at a time: reading losses this seldom costs less than a hundredth."""


def train(args: argparse.Namespace) -> int:
    """Train, or resume the training in `args.out`; return the exit code."""
    from ..arch.cpu.workspace import keep_all_freed_memory
    from ..devices import resolve_device
    from ..training.loop import run_training
    from ..training.ranks import join_ranks

    with join_ranks(resolve_device(args.device)) as (ranks, device):
        if device.type == "cpu":
            keep_all_freed_memory()
        trainer, complaints = _make_trainer(args, device, ranks)
        resumed = trainer.resume(args.out)
        if ranks.is_first:
            _report_faces(trainer, complaints, resumed=resumed)
            return _train_and_report(trainer, args)
        every = _choose_read_every(args, device)
        run_training(trainer, args.out, minutes=args.minutes, read_every=every)
        return 0


def _make_trainer(
    args: argparse.Namespace, device: torch.device, ranks: Ranks
) -> tuple[Trainer, list[str]]:
    """Return a trainer and a line for each file that it cannot use."""
    from ..training.trainer import Trainer
    from .train_request import read_request

    request = read_request(args)
    crops, complaints = _load_faces(args.data, args.split, request.plan.config.in_size)
    trainer = Trainer(
        request.plan,
        crops,
        device,
        model=request.model,
        discriminator=request.discriminator,
        perceptual=request.perceptual,
        teacher=request.teacher,
        ranks=ranks,
        workers=args.workers,
    )
    return trainer, complaints


def _load_faces(
    folder: Path, split: str | None, size: int
) -> tuple[torch.Tensor | LazyFaces, list[str]]:
    from ..evaluation.face_folder import find_faces
    from ..training.data import load_faces

    return load_faces(find_faces(folder, split=split), size)


def _report_faces(trainer: Trainer, complaints: list[str], *, resumed: bool) -> None:
    for line in complaints:
        print(f"left out {line}", file=sys.stderr)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    start = f"resuming at step {trainer.steps_done}" if resumed else f"from {trainer.plan.start}"
    print(
        f"{len(trainer.crops)} faces, {trainer.plan.config.in_size} px, "
        f"{parameters / 1e6:.2f} M parameters, {start}"
    )


def _train_and_report(trainer: Trainer, args: argparse.Namespace) -> int:
    from ..training.state import WEIGHTS_NAME

    try:
        _train_with_progress(trainer, args)
    except KeyboardInterrupt:
        print(f"stopped at step {trainer.steps_done}; repeat the command to resume")
        return 130
    print(f"{trainer.steps_done} steps done; weights in {args.out / WEIGHTS_NAME}")
    return 0


def _train_with_progress(trainer: Trainer, args: argparse.Namespace) -> None:
    """Train with a progress bar, which shows running means of the losses, and a journal."""
    from tqdm import tqdm

    from ..training.journal import Journal
    from ..training.loop import run_training

    every = _choose_read_every(args, trainer.device)
    journal = Journal(
        trainer,
        args.out,
        log_every=args.log_every,
        samples=_load_samples(trainer, args),
        sample_every=args.sample_every,
        board=args.tensorboard,
    )
    means: dict[str, float] = {}
    with tqdm(total=trainer.plan.steps, initial=trainer.steps_done, unit="step") as bar:

        def show(step: int, losses: dict[str, float]) -> None:
            for name, value in losses.items():
                means[name] = 0.98 * means.get(name, value) + 0.02 * value
            bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
            bar.update(step - bar.n)
            journal.record(step, losses)

        try:
            run_training(trainer, args.out, minutes=args.minutes, read_every=every, on_step=show)
        finally:
            journal.close()


def _choose_read_every(args: argparse.Namespace, device: torch.device) -> int:
    """Choose after how many steps to read a GPU's losses, so that every record falls on one."""
    if device.type != "cuda":
        return 1
    return math.gcd(READ_EVERY, args.log_every, args.sample_every)


def _load_samples(trainer: Trainer, args: argparse.Namespace) -> torch.Tensor | None:
    """Return the faces to score from time to time, spread evenly over the set."""
    import torch

    if not args.samples:
        return None
    crops = trainer.crops
    if args.sample_split:
        size = trainer.plan.config.in_size
        crops, complaints = _load_faces(args.data, args.sample_split, size)
        for line in complaints:
            print(f"left out {line}", file=sys.stderr)
    count = min(args.samples, len(crops))
    return crops[torch.linspace(0, len(crops) - 1, count).round().long()]
