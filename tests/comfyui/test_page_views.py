"""The page's own views: clicks choose faces, a slider shows before and after."""

from __future__ import annotations

import pytest
from comfyui_graphs import build_graph
from comfyui_page import open_page

pytestmark = pytest.mark.browser

INDICES = """() => app.graph.nodes.find(n => n.type === 'GPENSelectFaces')
  .widgets.find(w => w.name === 'indices').value"""
CONVERT = """async texts => {
  const {parse, format} = await import('/extensions/gpen-restore/js/indices.js');
  return texts.map(text => [[...parse(text, 5)].sort(), format(parse(text, 5), 5)]);
}"""
TEXTS = {
    "": ([0, 1, 2, 3, 4], ""),
    "0, 2-4": ([0, 2, 3, 4], "0, 2-4"),
    "3- 0": ([0, 3, 4], "0, 3, 4"),
    "-1": ([4], "4"),
    "7": ([], ""),
}


def build(photograph: str) -> dict:
    return build_graph(
        **{
            "1": ("GPENExamplePhotograph", {"photograph": photograph}),
            "2": ("LoadGPEN", {"file": "built-in (256)", "dtype": "auto"}),
            "3": (
                "GPENDetectFaces",
                {
                    "image": ["1", 0], "threshold": 0.0, "min_size": 0, "max_faces": 5,
                    "crop_size": "256", "template": "gpen",
                },
            ),
            "4": (
                "GPENSelectFaces",
                {
                    "faces": ["3", 0], "crops": ["3", 1], "indices": "", "order": "largest",
                    "count": 0, "min_size": 0, "max_size": 0, "size_unit": "px",
                },
            ),
            "5": ("PreviewImage", {"images": ["4", 1]}),
            "6": (
                "GPENRestoreImage",
                {
                    "image": ["1", 0], "model": ["2", 0], "strength": 1, "which": "largest",
                    "count": 1,
                },
            ),
            "7": ("PreviewImage", {"images": ["6", 0]}),
        }
    )  # fmt: skip


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "nodes-2.0"])
def test_clicks_keys_and_the_slider_work(comfyui, vue):
    with open_page(comfyui, vue=vue) as page:
        for text, (numbers, back) in TEXTS.items():
            ((found, formatted),) = page.page.evaluate(CONVERT, [text])
            assert (sorted(found), formatted) == (numbers, back), text
        page.page.evaluate("graph => app.loadApiJson(graph, 'views')", build("group"))
        assert page.run()["status"]["status_str"] == "success"
        page.fit()
        detected = page.page.locator(".gpen-view:has(.gpen-face)").first
        faces = detected.locator(".gpen-picture").first.locator(".gpen-face")
        assert faces.count() == 5
        assert "px, score" in faces.first.get_attribute("title")
        faces.nth(1).dispatch_event("click")
        assert page.page.evaluate(INDICES) == "0, 2-4"
        faces.nth(1).focus()
        page.page.keyboard.press("Enter")
        assert page.page.evaluate(INDICES) == ""
        detected.get_by_text("Only").dispatch_event("click")
        faces.nth(3).dispatch_event("click")
        assert page.page.evaluate(INDICES) == "3"
        faces.nth(3).dispatch_event("click")  # the last one stays
        assert page.page.evaluate(INDICES) == "3"
        values = {node["type"]: node.get("widgets_values") for node in page.serialized()["nodes"]}
        assert values["GPENSelectFaces"] == ["3", "as detected", 0, 0, 0, "px"]
        assert page.run()["status"]["status_str"] == "success"
        assert "Kept 1 of 5 faces." in page.texts()
        slider = page.page.locator(".gpen-compare input")
        slider.focus()
        page.page.keyboard.press("Home")
        assert slider.input_value() == "0"
        page.shoot(f"views_{'vue' if vue else 'classic'}")
        assert not page.complaints()
