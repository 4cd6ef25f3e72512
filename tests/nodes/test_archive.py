"""The archive of ComfyUI's registry: nothing that its scanner flags, and all that nodes need."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

import pytest
import torch
from comfyui_host import ROOT, load_pack
from registry_archive import ALLOWED, FORBIDDEN, build_archive, list_archive, search


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_that_the_registrys_scanner_flags_stands_in_the_archive(pattern):
    assert search(pattern, list_archive()) == []


@pytest.mark.parametrize("pattern", ALLOWED)
def test_what_a_reader_may_ask_about_is_explained(pattern):
    files = {line.split(":")[0] for line in search(pattern, list_archive())}
    assert files == {*ALLOWED[pattern]}
    reasons = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    for file in files:
        path = Path(file).relative_to("gpen_core")
        assert str(path) in reasons or f"{path.parent}/" in reasons


def test_every_line_of_comfyignore_leaves_something_out():
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    gone = [line for line in lines if line[:1] not in ("", "#") and not (ROOT / line).exists()]
    assert gone == [".github/"] * (not (ROOT / ".github").exists())


def test_the_archive_restores_a_face_and_reads_no_environment(tmp_path, monkeypatch, pack):
    pytest.importorskip("facenet_pytorch", reason="pip install facenet-pytorch==2.5.3")
    name = "gpen_from_archive"
    monkeypatch.setenv("GPEN_WEIGHTS", str(tmp_path / "elsewhere"))
    archive = load_pack(name, build_archive(tmp_path / "pack"))
    try:
        extension = asyncio.run(archive.comfy_entrypoint())
        asyncio.run(extension.on_load())
        classes = {cls.GET_SCHEMA().node_id: cls for cls in asyncio.run(extension.get_node_list())}

        def run(node_id, **inputs):
            return classes[node_id].PREPARE_CLASS_CLONE({"hidden_inputs": {}}).execute(**inputs)

        photo = run("GPENExamplePhotograph", photograph="portrait")[0]
        model = run("LoadGPEN", file="built-in (256)", dtype="auto")[0]
        image, mask = run("GPENRestoreImage", image=photo, model=model, strength=1.0).args[:2]
        assert mask.max() == 1
        assert not torch.equal(image, photo)
        catalog = importlib.import_module(f"{name}.gpen_core.checkpoints.catalog")
        assert tmp_path / "elsewhere" not in catalog.search_folders()
        verification = importlib.import_module(f"{name}.gpen_core.runners.verification")
        found = verification.verify_once(tmp_path / "model.onnx", "ab" * 32, "fp32", model.config)
        assert found.describe().startswith("no: the archive of the ComfyUI registry starts no proc")
        with pytest.raises(AttributeError, match="restore"):
            _ = importlib.import_module(f"{name}.gpen_core").restore
    finally:
        for module in [m for m in sys.modules if m.split(".")[0] == name]:
            del sys.modules[module]
