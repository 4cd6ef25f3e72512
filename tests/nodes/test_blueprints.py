"""The blueprints in `subgraphs/` fit the nodes, and the page runs them."""

from __future__ import annotations

import json

import pytest
from comfyui_host import ROOT
from comfyui_page import open_page
from node_fixtures import SIGNATURES

FILES = sorted((ROOT / "subgraphs").glob("*.json"))
NAMES = [path.stem for path in FILES]
USE = """async data => {
  await app.loadGraphData(data);
  const made = app.graph.nodes[0];
  const photo = LiteGraph.createNode("GPENExamplePhotograph");
  const save = LiteGraph.createNode("SaveImage");
  app.graph.add(photo);
  app.graph.add(save);
  photo.connect(0, made, 0);
  made.connect(0, save, 0);
}"""


def read(path):
    (outer,) = (data := json.loads(path.read_text(encoding="utf-8")))["nodes"]
    (inner,) = data["definitions"]["subgraphs"]
    return data, outer, inner


def test_there_are_blueprints_for_photos_videos_and_nodes_between():
    assert NAMES == ["Crop, anything, paste", "Restore Faces (photo)", "Restore Faces (video)"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_links_and_sockets_of_a_blueprint_fit(path):
    _, outer, inner = read(path)
    assert (outer["type"], outer["title"]) == (inner["id"], path.stem)
    assert inner["name"] == path.stem
    assert inner["description"]
    assert [s["name"] for s in outer["inputs"]] == [s["name"] for s in inner["inputs"]]
    assert [s["name"] for s in outer["outputs"]] == [s["name"] for s in inner["outputs"]]
    nodes = {node["id"]: node for node in inner["nodes"]}
    for node in nodes.values():
        assert {"cnr_id", "ver"} <= {*node["properties"]}
        if node["type"] in SIGNATURES:
            inputs, outputs = SIGNATURES[node["type"]]
            # Values of widgets stand in their order; the page adds defaults for newer widgets.
            widgets = [socket["name"] for socket in node["inputs"] if "widget" in socket]
            places = [inputs.index(name) for name in widgets]
            assert places == sorted(places)
            assert len(node["widgets_values"]) == len(widgets)
            assert [socket["name"] for socket in node["outputs"]] == outputs
    for link in inner["links"]:
        if link["target_id"] in nodes:
            target = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert (target["link"], target["type"]) == (link["id"], link["type"])
        if link["origin_id"] in nodes:
            origin = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert link["id"] in origin["links"]


@pytest.mark.browser
def test_the_page_runs_the_blueprints_for_photos(comfyui):
    with open_page(comfyui, vue=True) as page:
        listed = comfyui.get("global_subgraphs").values()
        assert {*NAMES} <= {entry["name"] for entry in listed}
        for path in FILES[:2]:
            data, _, _ = read(path)
            page.page.evaluate(USE, data)
            assert page.run()["status"]["status_str"] == "success", path.stem
            assert not page.complaints()
