"""Detectors from names and files, RetinaFace against facexlib, and errors that say what to do."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest
import torch

from gpen_core import CheckpointError, DetectorError, GPENError, detect, load_detector
from gpen_core.detectors import DETECTORS, registry
from gpen_core.detectors.retinaface import (
    RetinaFace,
    RetinaFaceNetwork,
    decode_boxes,
    decode_landmarks,
    fuse_batch_norms,
    make_priors,
    take_rgb,
)

CPU = torch.device("cpu")


def random_retinaface(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict in which no batch normalisation is the identity."""
    torch.manual_seed(seed)
    network = RetinaFaceNetwork(name.removeprefix("retinaface_"))
    state = network.state_dict()
    for key, tensor in state.items():
        if key.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return state


@pytest.mark.parametrize("name", ["retinaface_resnet50", "retinaface_mobile0.25"])
def test_untrained_networks_run_on_every_shape(name):
    detector = RetinaFace(name, random_retinaface(name), CPU, "random")
    for size in ((1, 1), (4, 500), (65, 90)):
        faces = detect(detector, torch.rand(2, 3, *size), threshold=0.0)
        assert faces.image_size == (2, *size)
        assert (faces.boxes >= 0).all()
        assert (faces.boxes <= torch.tensor([size[1], size[0]]).repeat(2)).all()


@pytest.mark.parametrize("name", ["retinaface_resnet50", "retinaface_mobile0.25"])
def test_the_network_agrees_with_facexlib(name):
    from facexlib.detection.retinaface import RetinaFace as Published

    state = random_retinaface(name)
    backbone = name.removeprefix("retinaface_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision warns about facexlib's arguments
        published = Published(backbone, device="cpu")
    published.load_state_dict(state)
    ours = RetinaFaceNetwork(backbone).eval()
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 96, 128) * 50
    with torch.no_grad():
        boxes, probability, landmarks = published(x)
        fuse_batch_norms(ours)
        take_rgb(ours)
        found = ours(x.flip(1) / 255)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in ours.modules())
    for got, expected in zip(found, (probability[..., 1], boxes, landmarks), strict=True):
        assert (got - expected).norm() / expected.norm() < 1e-4


def test_decoding_agrees_with_facexlib():
    from facexlib.detection.retinaface import generate_config
    from facexlib.detection.retinaface_utils import PriorBox, decode, decode_landm

    torch.manual_seed(0)
    expected = PriorBox(generate_config("mobile0.25"), image_size=(96, 160)).forward()
    size = torch.tensor([160.0, 96.0])
    priors = make_priors(96, 160, device=CPU)
    assert torch.allclose(priors, expected * size.repeat(2), atol=1e-4)
    offsets, points = torch.randn(len(priors), 4), torch.randn(len(priors), 10)
    boxes = decode(offsets, expected, [0.1, 0.2]) * size.repeat(2)
    assert torch.allclose(decode_boxes(offsets, priors), boxes, atol=1e-2)
    landmarks = decode_landm(points, expected, [0.1, 0.2]) * size.repeat(5)
    assert torch.allclose(decode_landmarks(points, priors).flatten(1), landmarks, atol=1e-2)


@pytest.fixture
def no_weights_here(monkeypatch, tmp_path):
    monkeypatch.setattr(registry.catalog, "search_folders", lambda: (tmp_path,))
    return tmp_path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_weight_file_tells_which_retinaface_it_is_for(tmp_path, suffix, prefix):
    from safetensors.torch import save_file

    state = random_retinaface("retinaface_mobile0.25")
    state = {prefix + name: tensor for name, tensor in state.items()}
    file = tmp_path / f"gesichter-é{suffix}"
    if suffix == ".pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    detector = load_detector("auto", device="cpu", weights=file)
    assert detector.name == "retinaface_mobile0.25"
    with pytest.raises(DetectorError, match=r"weights of retinaface_mobile0\.25"):
        load_detector("retinaface_resnet50", weights=file)
    with pytest.raises(DetectorError, match=r"needs an \.onnx file"):
        load_detector("yunet", weights=file)


def test_named_weights_are_found_in_the_folders_of_the_catalogue(no_weights_here):
    with pytest.raises(DetectorError, match=r"gpen download retinaface_mobile0\.25"):
        load_detector("retinaface_mobile0.25")
    state = random_retinaface("retinaface_mobile0.25")
    torch.save(state, no_weights_here / "detection_mobilenet0.25_Final.pth")
    assert load_detector("retinaface_mobile0.25", device="cpu").name == "retinaface_mobile0.25"


def test_auto_loads_the_best_detector_that_is_found(no_weights_here, monkeypatch):
    pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    assert load_detector(device="cpu").name == "mtcnn"
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(DetectorError, match=r"pip install facenet-pytorch==2\.5\.3"):
            load_detector()
    mobile = random_retinaface("retinaface_mobile0.25")
    torch.save(mobile, no_weights_here / "detection_mobilenet0.25_Final.pth")
    assert load_detector(device="cpu").name == "retinaface_mobile0.25"
    best = random_retinaface("retinaface_resnet50")
    torch.save(best, no_weights_here / "RetinaFace-R50.pth")
    assert load_detector(device="cpu").name == "retinaface_resnet50"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(DetectorError, match=r"pip install facenet-pytorch==2\.5\.3"):
        load_detector("mtcnn")


def test_unknown_names_and_wrong_files_are_explained(tmp_path):
    with pytest.raises(DetectorError, match="use auto, " + ", ".join(DETECTORS)):
        load_detector("dlib")
    with pytest.raises(DetectorError, match="takes no weights"):
        load_detector("mtcnn", weights="x.pth")
    with pytest.raises(DetectorError, match=r"nothing\.onnx"):
        load_detector("yunet", weights=tmp_path / "nothing.onnx")
    with pytest.raises(CheckpointError, match=r"nothing\.pth"):
        load_detector("auto", weights=tmp_path / "nothing.pth")
    with pytest.raises(DetectorError, match="an ONNX file"):
        load_detector("retinaface_resnet50", weights=tmp_path / "a.onnx")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(DetectorError, match="is not a face detector"):
        load_detector("auto", weights=tmp_path / "other.pth")


def test_a_missing_tensor_is_named(tmp_path):
    state = random_retinaface("retinaface_mobile0.25")
    del state["fpn.merge1.0.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(DetectorError, match=r"fpn\.merge1\.0\.weight"):
        load_detector("auto", device="cpu", weights=tmp_path / "part.pth")


@pytest.mark.parametrize("content", [b"", b"not a network"])
def test_the_error_for_an_onnx_file_says_which_opencv_it_needs(tmp_path, content):
    pytest.importorskip("cv2")
    file = tmp_path / "yunet_n_dynamic.onnx"
    file.write_bytes(content)
    with pytest.raises(DetectorError, match="OpenCV 5 only"):
        load_detector("auto", weights=file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_refused_as_weights_without_opening_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was opened"))
    for name in ("yunet.onnx", "retinaface.pth"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(GPENError, match="is a FIFO"):
            load_detector("auto", device="cpu", weights=tmp_path / name)


def test_opencv_up_to_4_11_has_its_log_level_elsewhere(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    levels = []
    monkeypatch.delattr(cv2.utils, "logging", raising=False)
    monkeypatch.setattr(cv2, "setLogLevel", lambda level: levels.append(level) or 4, raising=False)
    (tmp_path / "yunet.onnx").write_bytes(b"")
    with pytest.raises(DetectorError, match="OpenCV"):
        load_detector("yunet", weights=tmp_path / "yunet.onnx")
    assert levels == [2, 4]  # errors only, then as before
