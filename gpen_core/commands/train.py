"""`gpen train`: what it does with its options, and what it prints."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from .train_options import add_train_arguments

if TYPE_CHECKING:
    import argparse

    import torch

    from ..training.ranks import Ranks
    from ..training.trainer import Trainer

__all__ = ["add_train_arguments", "train"]

READ_EVERY = 10
"""Steps that a GPU is given at a time: waiting for it once in so many costs under a hundredth."""


def train(args: argparse.Namespace) -> int:
    """Train, or go on training in `args.out`; return the exit status."""
    from ..arch.cpu.workspace import keep_all_freed_memory
    from ..devices import resolve_device
    from ..training.ranks import join

    with join(resolve_device(args.device)) as (ranks, device):
        if device.type == "cpu":
            keep_all_freed_memory()
        return _train(args, device, ranks)


def _train(args: argparse.Namespace, device: torch.device, ranks: Ranks) -> int:
    from ..evaluation.face_folder import find_faces
    from ..training.data import load_faces
    from ..training.loop import run
    from ..training.trainer import WEIGHTS_NAME, Trainer
    from .train_request import read_request

    request = read_request(args)
    plan = request.plan
    size = plan.config.in_size
    faces, complaints = load_faces(find_faces(args.data, split=args.split), size)
    trainer = Trainer(
        plan,
        faces,
        device,
        model=request.model,
        discriminator=request.discriminator,
        perceptual=request.perceptual,
        teacher=request.teacher,
        ranks=ranks,
        workers=args.workers,
    )
    resumed = trainer.resume(args.out)
    if not ranks.first:
        run(trainer, args.out, minutes=args.minutes, read_every=_read_every(args, device))
        return 0
    for line in complaints:
        print(f"left out {line}", file=sys.stderr)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(
        f"{len(faces)} faces, {size} px, {parameters / 1e6:.2f} M parameters, "
        + (f"going on at step {trainer.steps_done}" if resumed else f"from {plan.start}")
    )
    try:
        _run(trainer, args)
    except KeyboardInterrupt:
        print(f"stopped at step {trainer.steps_done}; repeat the command to go on")
        return 130
    print(f"{trainer.steps_done} steps done; weights in {args.out / WEIGHTS_NAME}")
    return 0


def _run(trainer: Trainer, args: argparse.Namespace) -> None:
    """Run behind a progress bar that shows running means of the losses, and keep a journal."""
    from tqdm import tqdm

    from ..training.journal import Journal
    from ..training.loop import run

    read_every = _read_every(args, trainer.device)
    journal = Journal(
        trainer,
        args.out,
        log_every=args.log_every,
        samples=_samples(trainer, args),
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
            journal.note(step, losses)

        try:
            run(trainer, args.out, minutes=args.minutes, read_every=read_every, on_step=show)
        finally:
            journal.close()


def _read_every(args: argparse.Namespace, device: torch.device) -> int:
    """Steps from one look at a GPU's losses to the next; whatever is written down falls on one."""
    if device.type != "cuda":
        return 1
    return math.gcd(READ_EVERY, args.log_every, args.sample_every)


def _samples(trainer: Trainer, args: argparse.Namespace) -> torch.Tensor | None:
    """The faces to look at, spread evenly over those there are."""
    import torch

    from ..evaluation.face_folder import find_faces
    from ..training.data import load_faces

    if not args.samples:
        return None
    faces = trainer.faces
    if args.sample_split:
        files = find_faces(args.data, split=args.sample_split)
        faces, complaints = load_faces(files, trainer.plan.config.in_size)
        for line in complaints:
            print(f"left out {line}", file=sys.stderr)
    count = min(args.samples, len(faces))
    return faces[torch.linspace(0, len(faces) - 1, count).round().long()]
