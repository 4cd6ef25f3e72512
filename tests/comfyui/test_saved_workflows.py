"""Workflows that users saved before a widget or node was added: they run, with the same pixels.

`saved/ui` and `saved/api` hold the pack's workflows of November 2026, `saved/pixels` the face of
each result on the astronaut. The pixels are those since `detail` "auto" weighs fine detail pixel by
pixel: 1 to 7 % of them differ from November's by more than one level, by 14 at most.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comfyui_graphs import read_pixels
from comfyui_page import open_page
from comfyui_pictures import load_astronaut

SAVED = Path(__file__).parent / "saved"
NAMES = sorted(path.stem for path in (SAVED / "pixels").glob("*.png"))
FACE = np.s_[76:172, 188:260]
MAX_LEVELS = 1
"""The engine compiles for the CPU at hand, so a value may round to the neighbouring level."""


def check_pixels(comfyui, entry: dict, graph: dict, name: str) -> None:
    """Compare the face in the saved picture with the one saved."""
    (save,) = (key for key, node in graph.items() if node["class_type"] == "SaveImage")
    (path,) = comfyui.pictures(entry, save)
    picture, expected = read_pixels(path), read_pixels(SAVED / "pixels" / f"{name}.png")
    rows, columns = FACE
    scale = picture.shape[0] // 512
    found = picture[
        rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale
    ]
    assert np.abs(found - expected).max() <= MAX_LEVELS


def load_graph(name: str) -> dict:
    return json.loads((SAVED / "api" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.comfyui
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_prompt_gives_the_same_pixels(comfyui, name):
    load_astronaut().save(comfyui.base / "input" / "example.png")
    graph = load_graph(name)
    check_pixels(comfyui, comfyui.run(graph), graph, name)


@pytest.mark.browser
def test_saved_workflows_load_and_run_in_the_page_with_the_same_pixels(comfyui):
    load_astronaut().save(comfyui.base / "input" / "example.png")
    for name in NAMES:
        with open_page(comfyui, vue=False) as page:
            page.load(SAVED / "ui" / f"{name}.json")
            assert not page.complaints(), name
            sent = page.api_graph()
            for key, node in load_graph(name).items():
                assert node["inputs"].items() <= sent[key]["inputs"].items(), name
            check_pixels(comfyui, page.run(), sent, name)
