"""docs/clients/comfyui_batch.py against a real ComfyUI."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from comfyui_graphs import build_one_node, put_photo, read_pixels
from comfyui_host import COMFYUI_PYTHON, ROOT

CLIENTS = ROOT / "docs" / "clients"


def send(url: str, source: Path, output: Path, workflow: Path) -> tuple[int, str]:
    command = [COMFYUI_PYTHON, str(CLIENTS / "comfyui_batch.py"), str(source), "-o", str(output)]
    command += ["--url", url, "--workflow", str(workflow), "--tries", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return run.returncode, run.stderr


def test_the_client_is_short():
    assert len((CLIENTS / "comfyui_batch.py").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.comfyui
def test_a_folder_goes_through_comfyui_and_is_not_sent_twice(comfyui, tmp_path):
    photo = comfyui.base / "input" / put_photo(comfyui)
    (picture,) = comfyui.pictures(comfyui.run(build_one_node(photo.name)), "save")
    folder, output = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "顔 [1].png").write_bytes(photo.read_bytes())
    (folder / "notes.txt").write_text("no picture")
    workflow = CLIENTS / "restore_photo_api.json"
    assert send(comfyui.url, folder, output, workflow)[0] == 0
    result = output / "sub" / "顔 [1].png.png"
    assert {path for path in output.rglob("*") if path.is_file()} == {result}
    assert np.array_equal(read_pixels(result), read_pixels(picture))
    before = result.stat()
    assert send(comfyui.url, folder, output, workflow)[0] == 0
    assert result.stat() == before


@pytest.mark.comfyui
def test_a_file_or_workflow_that_comfyui_refuses_is_named_and_the_rest_is_done(comfyui, tmp_path):
    photo = comfyui.base / "input" / put_photo(comfyui)
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    (folder / "b.png").write_bytes(photo.read_bytes())
    workflow = CLIENTS / "restore_photo_api.json"
    code, err = send(comfyui.url, folder, output, workflow)
    assert code == 1
    assert "a.png" in err
    assert [path.name for path in output.iterdir()] == ["b.png.png"]
    graph = json.loads(workflow.read_text(encoding="utf-8"))
    graph["2"]["inputs"]["file"] = "no such model"
    other = tmp_path / "workflow.json"
    other.write_text(json.dumps(graph))
    code, err = send(comfyui.url, folder / "b.png", tmp_path / "other", other)
    assert code == 1
    assert "no such model" in err
    assert not list((tmp_path / "other").iterdir())
