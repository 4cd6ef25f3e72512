from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import films
import pytest
import torch
from networks import random_network
from runners import FunctionRunner

from gpen_core.video import VideoOptions, VideoReport, restore_video, segments


@pytest.fixture(scope="session")
def darkening() -> FunctionRunner:
    """A model of 32 px that halves the brightness of faces: quick, and easy to recognise."""
    torch.manual_seed(0)
    model = random_network(32, 32)
    return FunctionRunner(model, lambda faces, noise_seed: faces / 2 - 0.5)


@pytest.fixture
def restore(tmp_path: Path, darkening: FunctionRunner) -> Callable[..., VideoReport]:
    """Restore in the test's folder: `restore("in.mp4", "out.mp4", codec=…)`."""

    def run(source: str | Path, target: str, on_progress=None, detector=None, **options):
        if options.get("codec", "h264") in ("h264", "libx264") and not target.endswith("webm"):
            options = {"preset": "ultrafast", **options}
        return restore_video(
            darkening,
            detector or films.RedDetector(),
            tmp_path / source,
            tmp_path / target,
            VideoOptions(colour="keep", **options),
            on_progress=on_progress,
        )

    return run


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments of 5 frames."""
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.2)
    monkeypatch.setattr(segments, "LEAST_SEGMENT", 5)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads for a picture of 96×64 only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
