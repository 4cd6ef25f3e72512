"""Pairs made ahead in threads equal those made on demand; errors and ends reach the threads."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces

from gpen_core import GPENConfig, ImageError
from gpen_core.degradation.presets import MIXED
from gpen_core.evaluation.face_folder import find_faces
from gpen_core.evaluation.lazy_faces import LazyFaces
from gpen_core.training import pairs as module
from gpen_core.training.data import load_faces
from gpen_core.training.loop import run_training
from gpen_core.training.pairs import PairLoader, choose_workers
from gpen_core.training.plan import TrainingPlan
from gpen_core.training.state import STATE_NAME
from gpen_core.training.trainer import Trainer

CPU = torch.device("cpu")
PLAN = TrainingPlan(
    GPENConfig(32, 32, (8,) * 4, style_dim=8, mapping_layers=1),
    steps=8,
    batch_size=6,
    degradation=MIXED,
)
FACES = smooth_faces(8, 32)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def make_loader(workers: int, crops=FACES, device=CPU, plan=PLAN) -> PairLoader:
    return PairLoader(plan, crops, device, part=slice(2, 6), workers=workers)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def list_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pairs")]


@pytest.mark.parametrize("workers", [1, 3])
def test_pairs_made_ahead_equal_those_made_on_demand_in_any_order(workers):
    ahead, on_demand = make_loader(workers), make_loader(0)
    for step in (0, 1, 2, 6, 7, 1, 2, 3):
        assert_same(ahead.load(step), on_demand.load(step))
    ahead.close()
    assert_same(ahead.load(4), on_demand.load(4))
    ahead.close()


def test_pairs_are_made_in_threads_only_as_far_as_the_plan_goes(monkeypatch):
    threads: dict[int, str] = {}

    def note_thread(crops, count, *, seed, **options):
        threads[seed // 2] = threading.current_thread().name.split("_")[0]
        return draw_batch(crops, count, seed=seed, **options)

    draw_batch = module.draw_batch
    monkeypatch.setattr(module, "draw_batch", note_thread)
    ahead = make_loader(2)
    ahead.load(0)
    for future in ahead._ahead.values():
        future.result()
    assert threads == dict.fromkeys(range(4), "pairs")
    for step in range(1, PLAN.steps):
        ahead.load(step)
    ahead.close()
    assert threads == dict.fromkeys(range(PLAN.steps), "pairs")
    make_loader(0).load(0)
    assert threads[0] == "MainThread"


@pytest.mark.slow
def test_a_resumed_run_is_the_same_with_and_without_threads(tmp_path):
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        run_training(Trainer(PLAN, FACES, CPU, workers=workers), folder, minutes=0)
        again = Trainer(PLAN, FACES, CPU, workers=workers)
        assert again.resume(folder)
        assert again.steps_done == 1
        run_training(again, folder)
        assert list_threads() == []
    states = [(tmp_path / str(workers) / STATE_NAME) for workers in (0, 2)]
    first, second = (torch.load(state)["model"] for state in states)
    assert_same(second.values(), first.values())


def test_a_trainer_resumed_in_the_middle_gets_the_pairs_of_its_step(tmp_path):
    trainer, plain = (Trainer(PLAN, FACES, CPU, workers=workers) for workers in (2, 0))
    trainer.save(tmp_path)
    expected = [plain.step() for _ in range(3)]
    assert [trainer.step() for _ in range(3)] == expected
    trainer.resume(tmp_path)
    assert [trainer.step() for _ in range(3)] == expected
    trainer.pairs.close()


def test_threads_make_the_same_pairs_from_faces_decoded_on_demand(faces_folder):
    files = find_faces(faces_folder)
    plan = replace(PLAN, config=GPENConfig(64, 64, (8,) * 5, style_dim=8, mapping_layers=1))
    eager, _ = load_faces(files, 64)
    lazy = make_loader(3, LazyFaces(files, 64, budget=2 * 3 * 64 * 64), plan=plan)
    for step in range(PLAN.steps):
        assert_same(lazy.load(step), make_loader(0, eager, plan=plan).load(step))
    lazy.close()


def test_the_error_of_a_thread_ends_the_run_and_the_threads(faces_folder, tmp_path):
    crops = LazyFaces(find_faces(faces_folder), 32, budget=0)
    trainer = Trainer(PLAN, crops, CPU, workers=2)
    trainer.step()
    for path in crops.files:
        path.write_bytes(b"no longer an image")
    with pytest.raises(ImageError, match="None of the 6 images can be used"):
        run_training(trainer, tmp_path)
    assert list_threads() == []


def test_an_interrupted_run_leaves_no_thread(tmp_path):
    def stop(step, losses):
        assert len(list_threads()) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(Trainer(PLAN, FACES, CPU, workers=2), tmp_path, on_step=stop)
    assert list_threads() == []


def test_pairs_are_made_ahead_for_a_gpu_only():
    assert choose_workers(CPU) == choose_workers(torch.device("mps")) == 0
    assert 1 <= choose_workers(torch.device("cuda")) <= module.MAX_WORKERS


@needs_gpu
@pytest.mark.gpu
def test_a_gpu_makes_the_pairs_of_the_cpu_and_the_cpu_never_waits_for_it():
    cuda = torch.device("cuda")
    ahead, on_demand = make_loader(3, device=cuda), make_loader(0, device=cuda)
    on_demand.load(0)  # the first call may wait: it sets things up
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [ahead.load(step) for step in range(PLAN.steps)]
        expected = [on_demand.load(step) for step in range(PLAN.steps)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
        ahead.close()
    for step, (pair, other) in enumerate(zip(found, expected, strict=True)):
        assert_same(pair, other)
        clean, degraded = make_loader(0).load(step)
        assert torch.allclose(pair.clean.cpu(), clean, atol=1e-5)
        assert (pair.degraded.cpu() - degraded).abs().mean() < 1e-3


@needs_gpu
@pytest.mark.gpu
def test_the_cpu_never_waits_for_a_step_on_a_gpu():
    trainer = Trainer(replace(PLAN, bf16=True), FACES, torch.device("cuda"))
    trainer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [trainer.advance() for _ in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
        trainer.pairs.close()
    assert all(values.read()["loss"] > 0 for values in losses)
