"""MTCNN's networks are those of facenet-pytorch, and need neither it nor torchvision imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gpen_core.detectors import mtcnn_networks, vision_ops
from gpen_core.detectors.mtcnn_networks import (
    OutputNet,
    ProposalNet,
    RefinementNet,
    load_network,
)
from gpen_core.errors import DetectorError

CPU = torch.device("cpu")

FIND_FACES = """
import sys, torch
import gpen_core as gpen
detector = gpen.load_detector("mtcnn", device="cpu")
gpen.detect(detector, torch.rand(1, 3, 64, 64))
imported = {"torchvision", "facenet_pytorch", "facexlib"} & {*sys.modules}
assert not imported, imported
"""


def run_python(code: str) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("kind", "twin", "size"),
    [(ProposalNet, "PNet", 37), (RefinementNet, "RNet", 24), (OutputNet, "ONet", 48)],
)
def test_they_compute_what_facenet_pytorch_computes(kind, twin, size):
    facenet = pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = getattr(facenet, twin)().eval()(x)
        found = load_network(kind, CPU)(x)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_finding_faces_imports_no_torchvision():
    pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    run_python(FIND_FACES)


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(mtcnn_networks, "find_package_weights", lambda: tmp_path)
    with pytest.raises(DetectorError, match=r"pnet\.pt, which is missing\. Install it again"):
        load_network(ProposalNet, CPU)


@pytest.mark.slow
def test_torchvision_is_imported_where_its_library_is_not_found():
    run_python(
        "import sys, torch\n"
        "from gpen_core.detectors import vision_ops\n"
        "vision_ops.find_libraries = lambda: []\n"
        "boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5]])\n"
        "rows = vision_ops.suppress(boxes, torch.tensor([0.5, 0.9]), torch.zeros(2), 0.5)\n"
        "assert rows.tolist() == [1] and 'torchvision' in sys.modules"
    )


def test_suppression_keeps_images_apart_and_the_best_first():
    from torchvision.ops import batched_nms

    generator = torch.Generator().manual_seed(3)
    corner = torch.rand(300, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(300, 2, generator=generator) * 20], dim=1)
    scores = torch.rand(300, generator=generator)
    index = torch.randint(0, 3, (300,), generator=generator)
    kept = vision_ops.suppress(boxes, scores, index, 0.4)
    assert kept.tolist() == batched_nms(boxes, scores, index, 0.4).tolist()
    assert vision_ops.suppress(boxes[:0], scores[:0], index[:0], 0.4).tolist() == []
