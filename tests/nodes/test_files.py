"""Model files: which are offered, where a missing one goes, and how a replaced one is noticed.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from node_fixtures import SIDE
from safetensors.torch import save_file


@pytest.fixture
def host(nodes):
    return nodes.host


@pytest.fixture
def folders(host, core, tmp_path, monkeypatch):
    """The host's table of model folders, all below tmp_path; ours are not registered yet.

    Neither ComfyUI's models folder nor the user's cache of weights is read.
    """
    table = {"detection": ([str(tmp_path / "detection")], {".safetensors", ".pth"})}
    monkeypatch.setattr(host.folder_paths, "folder_names_and_paths", table)
    monkeypatch.setattr(host.folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(host.folder_paths, "filename_list_cache", {}, raising=False)
    catalog = core("checkpoints.catalog")
    monkeypatch.setattr(catalog, "search_folders", lambda: (tmp_path / "weights",))
    return table


def put(folder: Path, name: str, content: bytes = b"x") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def test_our_folders_come_after_those_that_others_registered(host, folders, tmp_path):
    folders["facerestore_models"] = ([str(tmp_path / "elsewhere")], set())
    theirs = folders["detection"][1]
    host.add_model_folders()
    host.add_model_folders()
    paths = {key: [Path(path).name for path in folders[key][0]] for key in folders}
    assert paths == {
        "gpen": ["gpen"],
        "facerestore_models": ["elsewhere", "facerestore_models"],
        "facedetection": ["facedetection"],
        "detection": ["detection"],
    }
    assert folders["detection"][1] is theirs
    assert theirs == {".safetensors", ".pth"}  # the host's own loader would offer more
    assert (tmp_path / "gpen").is_dir()
    assert ".pth" in folders["gpen"][1]


def test_new_files_are_offered_and_other_packs_models_are_not(host, folders, node, tmp_path):
    host.add_model_folders()

    def list_options(node_id, name):
        schema = node.classes[node_id].GET_SCHEMA()
        return next(s.options for s in schema.inputs if s.id == name)

    assert list_options("LoadGPEN", "file") == ["built-in (256)"]
    assert list_options("LoadGPENFaceDetector", "file") == ["none"]
    put(tmp_path / "gpen", "mine.safetensors")
    put(tmp_path / "gpen", "notes.txt")
    put(tmp_path / "facerestore_models", "GPEN-BFR-512.pth")
    put(tmp_path / "facerestore_models", "GFPGANv1.4.pth")
    put(tmp_path / "facerestore_models", "GPEN-BFR-512.onnx")
    put(tmp_path / "facerestore_models", "pytorch_model-2048.pt")
    put(tmp_path / "facedetection", "face_detection_yunet_2023mar.onnx")
    put(tmp_path / "detection", "my_yunet.onnx")
    getattr(host.folder_paths, "filename_list_cache", {}).clear()
    assert list_options("LoadGPEN", "file") == [
        "built-in (256)", "mine.safetensors", "GPEN-BFR-512.pth", "pytorch_model-2048.pt",
        "GPEN-BFR-512.onnx",
    ]  # fmt: skip
    files = {"face_detection_yunet_2023mar.onnx", "my_yunet.onnx"}
    assert files <= set(list_options("LoadGPENFaceDetector", "file"))


def test_a_message_says_where_a_missing_file_goes_and_where_it_is_published(host, folders, node):
    host.add_model_folders()
    message = node.classes["LoadGPEN"].validate_inputs(file="GPEN-BFR-512.pth")
    assert str(Path(folders["gpen"][0][0])) in message
    assert "facerestore_models" in message
    assert "https://" in message
    unknown = node.classes["LoadGPEN"].validate_inputs(file="my own.pth")
    assert "my own.pth" in unknown
    assert "published" not in unknown
    detector = node.classes["LoadGPENFaceDetector"].validate_inputs(file="RetinaFace-R50.pth")
    assert "facedetection" in detector
    assert "https://" in detector


def test_a_linked_file_name_is_not_checked_before_it_is_known(node, folders, host):
    host.add_model_folders()
    for node_id, other in (("LoadGPEN", "dtype"), ("LoadGPENFaceDetector", "detector")):
        assert node.classes[node_id].validate_inputs(file=None) is True
        stamp = node.classes[node_id].fingerprint_inputs
        assert stamp(**{"file": None, other: "auto"}) == stamp(**{"file": None, other: "auto"})
        stamp(**{"file": None, other: None})


def test_with_a_linked_file_name_any_replaced_file_is_noticed(host, folders, node, tmp_path):
    host.add_model_folders()
    paths = {
        "LoadGPEN": put(tmp_path / "gpen", "mine.safetensors"),
        "LoadGPENFaceDetector": put(tmp_path / "facedetection", "mine.pth"),
    }
    getattr(host.folder_paths, "filename_list_cache", {}).clear()
    for (node_id, path), other in zip(paths.items(), ("dtype", "detector"), strict=True):
        stamp = node.classes[node_id].fingerprint_inputs
        before = stamp(**{"file": None, other: "auto"})
        os.utime(path, ns=(1, 1))
        assert stamp(**{"file": None, other: "auto"}) != before


def test_a_prompt_without_a_file_is_refused_with_a_message(node, folders, host, core):
    host.add_model_folders()
    for node_id in ("LoadGPEN", "LoadGPENFaceDetector"):
        assert node.classes[node_id].validate_inputs() is True  # the host reports a missing input
        with pytest.raises(core("errors").CheckpointError, match="name of a file, found None"):
            node(node_id, file=None)


def test_a_model_file_loads_and_a_replaced_one_is_noticed(host, folders, node, core, tmp_path):
    host.add_model_folders()
    torch.manual_seed(0)
    config = core("arch").GPENConfig(SIDE, SIDE, (8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
    state = core("arch").GPEN(config).state_dict()
    path = put(tmp_path / "gpen", "mine.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    inputs = {"file": "mine.safetensors", "dtype": "auto"}
    model = node("LoadGPEN", **inputs)[0]
    assert (model.config.in_size, model.network.dtype) == (SIDE, torch.float32)
    fingerprint = node.classes["LoadGPEN"].fingerprint_inputs
    before = fingerprint(**inputs)
    assert fingerprint(**inputs) == before
    os.utime(path, ns=(1, 1))
    assert fingerprint(**inputs) != before


def test_new_and_changed_detector_files_are_noticed(host, folders, node, tmp_path):
    host.add_model_folders()
    fingerprint = node.classes["LoadGPENFaceDetector"].fingerprint_inputs
    seen = [fingerprint(detector="auto", file="none")]
    path = put(tmp_path / "facedetection", "detection_Resnet50_Final.pth")
    getattr(host.folder_paths, "filename_list_cache", {}).clear()
    seen.append(fingerprint(detector="auto", file="none"))
    os.utime(path, ns=(1, 1))
    seen.append(fingerprint(detector="auto", file="none"))
    assert len({*seen}) == 3
    assert fingerprint(detector="auto", file=path.name) == seen[2]


@pytest.mark.parametrize("node_id", ["GPENDetectFaces", "GPENRestoreImage"])
def test_an_automatic_detector_is_chosen_again_when_a_new_file_appears(
    host, folders, node, tmp_path, node_id
):
    host.add_model_folders()
    fingerprint = node.classes[node_id].fingerprint_inputs
    before, connected = fingerprint(image=None), fingerprint(image=None, detector=None)
    put(tmp_path / "facedetection", "detection_mobilenet0.25_Final.pth")
    getattr(host.folder_paths, "filename_list_cache", {}).clear()
    assert fingerprint(image=None) != before
    assert fingerprint(image=None, detector=None) == connected


def test_an_onnx_file_runs_by_our_network_or_by_onnxruntime(
    host, folders, node, core, nodes, tmp_path, monkeypatch
):
    pytest.importorskip("onnx", reason="writes the file")
    pytest.importorskip("onnxruntime", reason="runs it")
    monkeypatch.setenv("GPEN_VERIFY", "0")
    host.add_model_folders()
    torch.manual_seed(0)
    config = core("arch").GPENConfig(SIDE, SIDE, (8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
    network = core("arch").GPEN(config).eval().requires_grad_(False)
    write_graph = core("arch.onnx_graph").write_graph
    put(tmp_path / "facerestore_models", "gpen.onnx", write_graph(network).SerializeToString())
    said = []
    monkeypatch.setattr(host, "warn", lambda node_id, message: said.append(message))
    crops = torch.rand(2, SIDE, SIDE, 3)
    restored = []
    for engine in ("auto", "onnxruntime"):
        model = node("LoadGPEN", file="gpen.onnx", dtype="fp32", engine=engine)[0]
        restored.append(node("GPENRestoreFaces", model=model, crops=crops)[0])
        assert model.config.in_size == SIDE
    (message,) = said
    assert "is run by ONNX Runtime" in message
    assert (restored[0] - restored[1]).abs().max() < 1e-4
