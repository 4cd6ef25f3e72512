"""A new user's first run: open a template from the page's list, click Run, look at what comes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from comfyui_graphs import read_pixels
from comfyui_host import COMFYUI_PATH, ROOT, ComfyUI
from comfyui_page import open_page

pytestmark = pytest.mark.browser

NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
ONE = "1 face in 1 of 1 images."
SAID = {
    "restore_photo": [f"Restored {ONE}"],
    "compare": [f"Restored {ONE}"],
    "restore_step_by_step": [f"Found {ONE}", f"Pasted {ONE}"],
    "choose_faces": ["Restored 10 faces.", "Pasted 10 faces in 1 of 1 images."],
    "pass_between": [f"Found {ONE}", f"Pasted {ONE}"],
    "upscaled_background": [f"Found {ONE}", f"Pasted {ONE}"],
    "video_frames": ["Restored 16 faces in 16 of 16 images."],
}
"""Texts on the nodes after the run."""
TEXTS = """() => app.graph.nodes.flatMap(n => (n.widgets || []))
  .filter(w => w.name === '$$node-text-preview').map(w => String(w.value))"""


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2.0"])
def fresh(request, tmp_path_factory):
    """A host with a fresh user directory and its own input folder, and the kind of its nodes."""
    base = tmp_path_factory.mktemp("fresh")
    host = ComfyUI(base)
    shutil.copytree(Path(COMFYUI_PATH) / "input", base / "input", dirs_exist_ok=True)
    yield host, request.param
    host.stop()
    shutil.rmtree(base, ignore_errors=True)


def photograph(name: str) -> np.ndarray:
    return read_pixels(ROOT / "nodes" / "photographs" / f"{name}.jpg")


def result_of(host: ComfyUI, entry: dict) -> list[np.ndarray]:
    """The pictures that Save Image wrote."""
    found = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    paths = [host.base / i["type"] / i["subfolder"] / i["filename"] for i in found]
    return [read_pixels(path) for path in paths if path.suffix == ".png" and "output" in path.parts]


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_at_once_and_shows_restored_faces(fresh, name):
    host, vue = fresh
    before = sorted(path.name for path in (host.base / "input").rglob("*"))
    # Nodes that the host has in its cache from the template before would not run and say nothing.
    host.post("free", {"unload_models": True, "free_memory": True})
    with open_page(host, vue=vue) as page:
        page.open_template(name)
        page.shoot(f"first-{name}-{'vue' if vue else 'classic'}-loaded")
        if name == "diffusion_between":
            page.press_run()
            page.page.wait_for_function(
                "file => document.body.innerText.includes(file)", arg=CHECKPOINT, timeout=20_000
            )
            return
        assert not page.complaints()
        entry = page.run()
        page.shoot(f"first-{name}-{'vue' if vue else 'classic'}")
        assert entry["status"]["status_str"] == "success"
        assert not page.complaints()
        texts = page.page.evaluate(TEXTS)
        for text in SAID[name]:
            assert any(text in shown for shown in texts), texts
    assert before == sorted(path.name for path in (host.base / "input").rglob("*"))
    if name == "video_frames":
        assert any((host.base / "output").rglob("*.mp4"))
        return
    (picture,) = result_of(host, entry)
    original = photograph("group" if name == "choose_faces" else "portrait")
    if name == "upscaled_background":
        picture = picture[::2, ::2]
    assert picture.shape == original.shape
    changed = np.abs(picture - original).max(axis=2) > 4
    assert 0.0005 < changed.mean() < 0.6
