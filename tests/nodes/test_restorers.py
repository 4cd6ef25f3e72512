"""Load Face Restorer, and other networks than GPEN in the nodes.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from node_fixtures import SIDE, draw_scene
from other_restorers import make_echo, write_restoreformer

IMAGE = draw_scene([10, 80])
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def echo(nodes):
    """A hosted network that returns its input, trained for the template ffhq."""
    return nodes.hosted.HostedGPEN(make_echo(SIDE))


@pytest.fixture
def restorers(nodes, tmp_path, monkeypatch):
    """The folder models/facerestore_models, the only one that the host has."""
    folder = tmp_path / "facerestore_models"
    folder.mkdir()
    table = {
        key: ([str(tmp_path / key)], {".pth", ".safetensors", ".ckpt"})
        for key in nodes.host.GPEN_FOLDERS
    }
    monkeypatch.setattr(nodes.host.folder_paths, "folder_names_and_paths", table)
    monkeypatch.setattr(nodes.host.folder_paths, "filename_list_cache", {}, raising=False)
    return folder


@pytest.fixture
def restoreformer(restorers):
    pytest.importorskip("spandrel", reason='pip install "gpen-restore[upscale]"')
    write_restoreformer(restorers / "RestoreFormer.pth")
    return "RestoreFormer.pth"


def test_the_template_from_model_is_the_models_or_gpen(node, detector, model, echo):
    def cut(**inputs) -> torch.Tensor:
        inputs = {"crop_size": "64", **inputs}
        return node("GPENDetectFaces", image=IMAGE, detector=detector, **inputs)[1]

    gpen, ffhq = cut(template="gpen"), cut(template="ffhq")
    assert not torch.allclose(gpen, ffhq)
    for inputs, expected in (
        ({}, gpen),
        ({"model": model}, gpen),
        ({"model": echo}, ffhq),
        ({"model": echo, "template": "gpen"}, gpen),
    ):
        assert torch.equal(cut(**inputs), expected)


def test_another_model_detects_no_second_time(node, nodes, detector, model, echo, monkeypatch):
    monkeypatch.setattr(nodes.detections, "CACHE", nodes.detections.DetectionCache())
    nodes.detections.remember_stamp(detector, "known 1")
    first = node("GPENDetectFaces", image=IMAGE, detector=detector, model=model)[0]
    monkeypatch.setattr(detector, "find", None)
    again = node("GPENDetectFaces", image=IMAGE, detector=detector, model=echo)[0]
    assert torch.equal(first.faces.landmarks, again.faces.landmarks)
    assert not torch.allclose(first.alignment.affine, again.alignment.affine)
    node("GPENRestoreImage", image=IMAGE, detector=detector, model=echo)


def test_restore_image_equals_the_single_nodes_with_a_network_that_changes_nothing(
    node, detector, echo
):
    faces, crops, *_ = node("GPENDetectFaces", image=IMAGE, detector=detector, model=echo).args
    restored = node("GPENRestoreFaces", model=echo, crops=crops)[0]
    assert torch.allclose(restored, crops, atol=1e-6)
    pasted, _ = node("GPENPasteBack", image=IMAGE, faces=faces, crops=restored).args
    whole, mask, *_ = node("GPENRestoreImage", image=IMAGE, model=echo, detector=detector).args
    assert torch.allclose(whole, pasted, atol=1e-6)
    assert mask.max() == 1


def test_all_files_of_the_folder_are_offered_and_gpen_first(node, restorers):
    for name in ("GFPGANv1.4.pth", "codeformer.safetensors", "swap.onnx", "gpen.pth", "notes.txt"):
        (restorers / name).write_bytes(b"x")
    schema = node.classes["LoadGPENFaceRestorer"].GET_SCHEMA()
    (options,) = (socket.options for socket in schema.inputs if socket.id == "file")
    assert options == ["built-in (256)", "gpen.pth", "GFPGANv1.4.pth", "codeformer.safetensors"]


def test_a_file_is_loaded_for_the_host_in_fp32_or_as_asked(node, core, restoreformer):
    model = node("LoadGPENFaceRestorer", file=restoreformer)[0]
    assert isinstance(model.network, core("runners.face_restorer").FaceRestorer)
    assert (model.config.in_size, model.config.template) == (512, "ffhq")
    assert (model.dtype, model.sharpen) == (torch.float32, 0)
    assert model.patcher.model.network is model.network
    assert node("LoadGPENFaceRestorer", file=restoreformer, dtype="bf16")[0].dtype == torch.bfloat16
    with pytest.raises(core("errors").DeviceError, match="fp16"):
        node("LoadGPENFaceRestorer", file=restoreformer, dtype="fp16")


def test_fidelity_goes_to_a_network_that_has_one(node, nodes, monkeypatch, core):
    made = make_echo(fidelity=0.5)
    monkeypatch.setattr(nodes.load, "FaceRestorer", type(made))
    monkeypatch.setattr(nodes.load, "load_face_restorer", lambda *words, **options: made)
    assert node("LoadGPENFaceRestorer", fidelity=0.2)[0].network.fidelity == 0.2
    made.fidelity = None
    assert node("LoadGPENFaceRestorer", fidelity=0.2)[0].network.fidelity is None


def test_a_gpen_is_loaded_as_load_gpen_does(node, core):
    model, same = (node(name)[0] for name in ("LoadGPENFaceRestorer", "LoadGPEN"))
    assert isinstance(model.network, core("arch").GPEN)
    assert (model.config, model.dtype, model.sharpen) == (same.config, same.dtype, same.sharpen)


def test_an_upscaler_is_refused_in_comfyuis_words(node, core, restorers):
    compact = pytest.importorskip(
        "spandrel.architectures.Compact", reason='pip install "gpen-restore[upscale]"'
    ).Compact
    torch.save(compact(num_feat=8, num_conv=1).state_dict(), restorers / "up.pth")
    with pytest.raises(core("errors").CheckpointError, match="Load Upscale Model loads it"):
        node("LoadGPENFaceRestorer", file="up.pth")


def test_a_replaced_file_or_another_widget_loads_again(node, restoreformer, restorers):
    cls = node.classes["LoadGPENFaceRestorer"]
    stamps = {cls.fingerprint_inputs(restoreformer, 0.5, "auto")}
    stamps.add(cls.fingerprint_inputs(restoreformer, 0.6, "auto"))
    stamps.add(cls.fingerprint_inputs(restoreformer, 0.5, "bf16"))
    write_restoreformer(restorers / restoreformer)
    stamps.add(cls.fingerprint_inputs(restoreformer, 0.5, "auto"))
    assert len(stamps) == 4
    assert cls.validate_inputs(file=restoreformer) is True
    assert "was not found" in cls.validate_inputs(file="absent.pth")


def test_the_help_says_that_codeformer_is_for_non_commercial_use():
    for page, words in (
        ("LoadGPENFaceRestorer.md", "non-commercial use only"),
        ("LoadGPENFaceRestorer/zh.md", "非商业用途"),
        ("LoadGPENFaceRestorer/ja.md", "非商用"),
    ):
        assert words in (ROOT / "web" / "docs" / page).read_text(encoding="utf-8")
