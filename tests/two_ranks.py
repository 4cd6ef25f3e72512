r"""Trains a small network in the processes that torchrun started; each writes its state.

PYTHONPATH=.:tests python -m torch.distributed.run --standalone --nproc-per-node 2 \
    tests/two_ranks.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from test_ranks import PLAN, STEPS
from training_faces import smooth_faces

from gpen_core.training.loop import run
from gpen_core.training.ranks import join
from gpen_core.training.trainer import Trainer

torch.set_num_threads(1)
out = Path(sys.argv[1])
with join(torch.device("cpu")) as (ranks, device):
    trainer = Trainer(PLAN, smooth_faces(8, 32), device, ranks=ranks)
    run(trainer, out / "run", minutes=0)  # one step, which process 0 saves
    again = Trainer(PLAN, smooth_faces(8, 32), device, ranks=ranks)
    ranks.largest(0, device)  # wait until it has
    assert again.resume(out / "run")
    course = [again.step() for _ in range(STEPS - 1)]
    again.save(out / f"rank{ranks.rank}")
    torch.save(course, out / f"rank{ranks.rank}" / "course.pt")
