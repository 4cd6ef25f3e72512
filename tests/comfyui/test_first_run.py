"""A new user's first run: open a template from the page's list, click Run, look at what comes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from comfyui_graphs import read_pixels
from comfyui_host import COMFYUI_PATH, ROOT, ComfyUI
from comfyui_page import open_page
from workflow_files import CHECKPOINTS

pytestmark = pytest.mark.browser

NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
ONE = "1 face in 1 of 1 images."
SAID = {
    "restore_photo": [f"Restored {ONE}"],
    "old_photo": [f"Restored {ONE}"],
    "compare": [f"Restored {ONE}"],
    "restore_step_by_step": [f"Found {ONE}", "Restored 1 face.", f"Pasted {ONE}"],
    "choose_faces": ["Restored 10 faces.", "Pasted 10 faces in 1 of 1 images."],
    "pass_between": [f"Found {ONE}", f"Pasted {ONE}"],
    "upscaled_background": [f"Found {ONE}", f"Pasted {ONE}"],
    "restore_video": ["Restored faces in 16 of 16 frames (1 track, 0 cuts)."],
    "video_frames": ["Restored 16 faces in 16 of 16 images."],
}
"""Texts on the nodes after the run."""
FACE = np.s_[76:172, 188:260]
"""The face of the portrait, and the rows below it that no restoration reaches."""
BELOW = np.s_[320:]
ENLARGED = ("upscaled_background", "old_photo")
"""Templates whose result has twice the photograph's sides."""
SET_INDICES = """indices => app.graph.nodes.find(n => n.type === 'GPENSelectFaces')
  .widgets.find(w => w.name === 'indices').value = indices"""
PRESSED = """() => app.graph.nodes.find(n => n.type === 'GPENSelectFaces').widgets
  .find(w => w.name === 'gpen_faces').element.querySelectorAll('[aria-pressed=true]').length"""
"""How many faces are shown as chosen."""


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2.0"])
def fresh(request, tmp_path_factory):
    """A host with a fresh user directory and its own input folder, and the kind of its nodes."""
    base = tmp_path_factory.mktemp("fresh")
    host = ComfyUI(base)
    shutil.copytree(Path(COMFYUI_PATH) / "input", base / "input", dirs_exist_ok=True)
    yield host, request.param
    host.stop()
    shutil.rmtree(base, ignore_errors=True)


def result_of(host: ComfyUI, entry: dict) -> list[np.ndarray]:
    """The pictures that Save Image wrote."""
    found = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    paths = [host.base / i["type"] / i["subfolder"] / i["filename"] for i in found]
    return [read_pixels(path) for path in paths if path.suffix == ".png" and "output" in path.parts]


def check_restored(host: ComfyUI, entry: dict, name: str) -> None:
    """The saved picture differs from the photograph where there is a face."""
    (picture,) = result_of(host, entry)
    kind = "group" if name == "choose_faces" else "portrait"
    original = read_pixels(ROOT / "nodes" / "photographs" / f"{kind}.jpg")
    if name == "old_photo":
        original = rotate_old_print(host)
    if name in ENLARGED:
        picture = picture[::2, ::2]
    assert picture.shape == original.shape
    changed = np.abs(picture - original).max(axis=2) > 4
    assert 0.0005 < changed.mean() < 0.6
    if kind == "portrait":
        assert changed[FACE].mean() > 0.4
        assert name in ENLARGED or np.array_equal(picture[BELOW], original[BELOW])


def rotate_old_print(host: ComfyUI) -> np.ndarray:
    """The example of the template old_photo, turned upright by the host but not restored."""
    graph = json.loads((ROOT / "workflows" / "api" / "old_photo.json").read_text(encoding="utf-8"))
    graph["6"]["inputs"]["image"] = ["1", 0]
    kept = {key: graph[key] for key in ("1", "4", "6")}
    (path,) = host.pictures(host.run(kept), "4")
    return read_pixels(path)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHECKPOINTS])
def test_a_template_runs_at_once_and_shows_restored_faces(fresh, name):
    host, vue = fresh
    before = sorted(path.name for path in (host.base / "input").rglob("*"))
    with open_page(host, vue=vue) as page:
        page.open_template(name)
        page.shoot(f"first-{name}-{'vue' if vue else 'classic'}-loaded")
        assert not page.complaints()
        entry = page.run()
        page.shoot(f"first-{name}-{'vue' if vue else 'classic'}")
        assert entry["status"]["status_str"] == "success"
        assert not page.complaints()
        page.wait_for_texts(SAID[name])
    assert before == sorted(path.name for path in (host.base / "input").rglob("*"))
    if name in ("restore_video", "video_frames"):
        assert any((host.base / "output").rglob("*.mp4"))
    else:
        check_restored(host, entry, name)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_template_whose_checkpoint_is_missing_loads_and_the_page_names_the_file(fresh, name):
    host, vue = fresh
    checkpoint = CHECKPOINTS[name].split("/")[-1]
    with open_page(host, vue=vue) as page:
        page.open_template(name)
        page.shoot(f"first-{name}-{'vue' if vue else 'classic'}-loaded")
        page.wait_for_text(checkpoint)
        page.press_run()
        page.wait_for_text("errors found")
        page.page.get_by_role("button", name="View details").first.click()
        page.wait_for_text(checkpoint)


def test_a_result_from_the_cache_shows_the_same_texts_and_previews_in_a_new_page(fresh):
    host, vue = fresh
    name = "restore_step_by_step"
    for _ in range(2):
        with open_page(host, vue=vue) as page:
            page.open_template(name)
            page.run()
            page.wait_for_texts(SAID[name])
            page.wait_for_previews({"GPENDetectFaces": 1, "GPENRestoreFaces": 1, "SaveImage": 1})


def test_a_node_that_keeps_no_face_shows_all_as_left_out(fresh):
    host, vue = fresh
    with open_page(host, vue=vue) as page:
        page.open_template("choose_faces")
        for indices, kept in (("1", 1), ("99", 0)):
            page.page.evaluate(SET_INDICES, indices)
            page.run()
            page.wait_for_texts([f"Kept {kept} of 67 faces."])
            page.wait_for_previews({"GPENSelectFaces": 1})
            assert page.page.evaluate(PRESSED) == kept
