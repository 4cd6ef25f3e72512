r"""Trains a small network in the processes that torchrun starts; each writes its state.

PYTHONPATH=.:tests/support python -m torch.distributed.run --standalone --nproc-per-node 2 \
    tests/support/two_ranks.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from training_faces import smooth_faces

from gpen_core import GPENConfig
from gpen_core.training.loop import run_training
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.ranks import join_ranks
from gpen_core.training.trainer import Trainer

STEPS = 4
PLAN = TrainingPlan(
    GPENConfig(32, 32, (8,) * 4, style_dim=8, mapping_layers=1),
    steps=STEPS,
    batch_size=8,  # two groups of four for the minibatch standard deviation
    sharpness_weight=0.5,
    adversarial_weight=0.1,
    feature_weight=0.1,
    r1_every=2,
)


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    with join_ranks(torch.device("cpu")) as (ranks, device):
        trainer = Trainer(PLAN, smooth_faces(8, 32), device, ranks=ranks)
        run_training(trainer, out / "run", minutes=0)  # one step, saved by rank 0
        again = Trainer(PLAN, smooth_faces(8, 32), device, ranks=ranks)
        ranks.find_max(0, device)  # wait for that
        assert again.resume(out / "run")
        course = [again.step() for _ in range(STEPS - 1)]
        again.save(out / f"rank{ranks.rank}")
        torch.save(course, out / f"rank{ranks.rank}" / "course.pt")


if __name__ == "__main__":
    main()
