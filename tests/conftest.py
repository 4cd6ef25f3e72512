from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from gpen_core import load_detector
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.detectors import Detector
from gpen_core.detectors.yunet import can_load_dynamic

pytest_plugins = ["comfyui_host", "node_fixtures", "training_faces"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare no ONNX file with ONNX Runtime unasked: it takes seconds, and the user's cache."""
    monkeypatch.setenv("GPEN_VERIFY", "0")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of files that are not part of the project; mark tests that use it `weights`."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the files of {SHARED}, which this checkout lacks")
    return SHARED


@pytest.fixture(scope="session")
def tiny_gpen() -> GPEN:
    """A 32 px GPEN with random weights, biases and noise gains. Shared: do not change it."""
    torch.manual_seed(1)
    model = GPEN(GPENConfig(32, 32, widths=(8, 8, 6, 4), style_dim=16, mapping_layers=2))
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture
def tensors(tiny_gpen: GPEN) -> dict[str, torch.Tensor]:
    """The tensors of `tiny_gpen`, a copy for every test."""
    return {name: tensor.clone() for name, tensor in tiny_gpen.state_dict().items()}


@pytest.fixture(scope="session")
def astronaut() -> torch.Tensor:
    """[1, 3, 512, 512] a portrait in the public domain, in float32 and [0, 1]. Do not change it."""
    data = pytest.importorskip("skimage.data", reason="pip install scikit-image to run this")
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="session")
def detector_files(request: pytest.FixtureRequest) -> Callable[[str], Path | None]:
    """The weight file of a detector by name; None for mtcnn, which needs none."""

    def find(name: str) -> Path | None:
        if name == "mtcnn":
            pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
            return None
        if name == "yunet" and not can_load_dynamic():
            pytest.skip("yunet_n_dynamic.onnx needs OpenCV 5")
        file = {
            "retinaface_mobile0.25": "detection_mobilenet0.25_Final.pth",
            "yunet": "yunet_n_dynamic.onnx",
        }[name]
        return request.getfixturevalue("shared") / "weights" / file

    return find


@pytest.fixture(scope="session")
def detectors(detector_files: Callable[[str], Path | None]) -> Callable[[str], Detector]:
    """A detector by name, on the CPU, loaded once."""
    return cache(lambda name: load_detector(name, device="cpu", weights=detector_files(name)))
