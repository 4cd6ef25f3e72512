"""The archive that ComfyUI's registry serves, as the only pack of a ComfyUI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from comfyui_graphs import read_pixels
from comfyui_host import ROOT, ComfyUI
from registry_archive import build_archive

pytestmark = pytest.mark.comfyui


def test_the_archive_alone_restores_a_face(tmp_path):
    archive = build_archive(tmp_path / "archive")
    running = ComfyUI(tmp_path / "comfyui", pack=archive)
    try:
        assert "IMPORT FAILED" not in running.log()
        known = running.get("object_info")
        names = json.loads((ROOT / "node_list.json").read_text(encoding="utf-8"))
        assert {*names} <= {*known}
        graph = json.loads((ROOT / "workflows/api/restore_photo.json").read_text(encoding="utf-8"))
        entry = running.run(graph)
        (saved,) = [node for node in graph if graph[node]["class_type"] == "SaveImage"]
        restored = read_pixels(running.pictures(entry, saved)[0])
        graph = {
            "1": {"class_type": "GPENExamplePhotograph", "inputs": {"photograph": "portrait"}},
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": "photo"},
            },
        }
        photo = read_pixels(running.pictures(running.run(graph), "2")[0])
        assert photo.shape == restored.shape
        assert np.abs(photo - restored).max() > 0.1
    finally:
        running.stop()
