"""Training in several processes: they share every batch and keep the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_faces import smooth_faces
from two_ranks import PLAN, STEPS

from gpen_core import DeviceError, MismatchError
from gpen_core.checkpoints.tensor_files import read_tensor_file
from gpen_core.training.ranks import ALONE, Ranks, join_ranks
from gpen_core.training.state import STATE_NAME, WEIGHTS_NAME
from gpen_core.training.trainer import Trainer


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="PyTorch for Windows lacks torchrun's store")
def test_two_processes_train_the_same_weights_as_one(tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).parents[1] / "support" / "two_ranks.py"
    path = os.pathsep.join([str(script.parent), str(script.parents[2])])
    done = subprocess.run(
        [*words, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone = Trainer(PLAN, smooth_faces(8, 32), torch.device("cpu"))
    course = [alone.step() for _ in range(STEPS)]
    alone.save(tmp_path / "alone")
    first, second, expected = (
        read_tensor_file(tmp_path / name / STATE_NAME).contents
        for name in ("rank0", "rank1", "alone")
    )
    for network in (lambda s: s["model"], lambda s: s["adversary"]["discriminator"]):
        for name, value in network(expected).items():
            assert torch.equal(network(first)[name], network(second)[name]), name
            assert torch.allclose(network(first)[name], value, atol=1e-4), name
    losses = torch.load(tmp_path / "rank1" / "course.pt")
    for found, wanted in zip(losses, course[1:], strict=True):
        assert found == pytest.approx(wanted, rel=1e-3)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [STATE_NAME, WEIGHTS_NAME]


def test_parts_cover_the_batch_and_an_uneven_batch_is_refused():
    shares = [Ranks(rank, 4).slice_batch(8) for rank in range(4)]
    assert [i for share in shares for i in range(8)[share]] == list(range(8))
    with pytest.raises(MismatchError, match="batch of 6 cannot be divided evenly among 4"):
        Ranks(1, 4).slice_batch(6)


def test_a_single_process_wraps_and_exchanges_nothing():
    module = torch.nn.Linear(1, 1)
    assert ALONE.average_gradients(module) is module
    assert ALONE.find_max(3.5, torch.device("cpu")) == 3.5
    with join_ranks(torch.device("cpu")) as (ranks, device):
        assert ranks == ALONE
        assert device == torch.device("cpu")


def test_devices_that_processes_cannot_share_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(DeviceError, match="not on mps"), join_ranks(torch.device("mps")):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    message = "has 1 GPUs, but torchrun started process 2"
    with pytest.raises(DeviceError, match=message), join_ranks(torch.device("cuda")):
        pass
