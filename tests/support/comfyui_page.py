"""A real browser on a real ComfyUI: loads a workflow as a user does, runs it, finds errors."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_host import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comfyui_host import ComfyUI

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
SCREENSHOTS = os.environ.get("COMFYUI_SCREENSHOTS")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
STARTS = 3
PATIENCE = 180_000
"""Milliseconds that the page may take for one thing, on a busy machine."""
READY = "() => { try { return !!(app.vueAppReady && app.rootGraph) } catch { return false } }"
DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, {type: 'application/json'}));
  const canvas = document.getElementById('graph-canvas'), at = canvas.getBoundingClientRect();
  for (const kind of ['dragenter', 'dragover', 'drop'])
    canvas.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true,
      clientX: at.x + 300, clientY: at.y + 300}));
}"""
NEW_NODE = """id => {
  const node = LiteGraph.createNode(id);
  app.graph.clear();
  node.pos = [300, 250];
  app.graph.add(node);
  app.canvas.deselectAll();
  app.canvas.selectNode(node);
}"""
TEXTS = """() => app.graph.nodes.flatMap(n => (n.widgets || []))
  .filter(w => w.name === '$$node-text-preview').map(w => String(w.value))"""
SHOW = f"texts => {{ const shown = ({TEXTS})(); return texts.every(t => shown.includes(t)) }}"
SHOW_PICTURES = """counts => app.graph.nodes.every(n => !(n.type in counts) || counts[n.type] ===
  (LiteGraph.vueNodesMode ? document.querySelectorAll(`[data-node-id="${n.id}"] img`).length
    : (n.imgs || []).length + (n.widgets || [])
      .filter(w => w.element && !w.element.hidden)
      .reduce((sum, w) => sum + w.element.querySelectorAll('img').length, 0)))"""
COMPLAINTS = """() => {
  const seen = selector => [...document.querySelectorAll(selector)]
    .filter(e => e.offsetParent !== null).map(e => e.innerText.slice(0, 400));
  return {
    dialogs: seen('[role=dialog],.p-dialog,.comfy-modal'),
    toasts: seen('.p-toast-message'),
    red: app.graph.nodes.filter(n => n.has_errors || !LiteGraph.registered_node_types[n.type])
      .map(n => n.type),
  };
}"""


class Page:
    """ComfyUI's page in a browser. `complaints()` is {} while the page shows no error."""

    def __init__(self, page, host: ComfyUI) -> None:
        self.page = page
        self.host = host
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._open()

    def _open(self) -> None:
        """Open the page, again if needed, until nothing covers it.

        A mask covers the page while it starts. On a busy machine the mask can miss the end of its
        animation and then stays for ever.
        """
        for _ in range(STARTS):
            self.page.goto(self.host.url)
            self.page.wait_for_function(READY, timeout=PATIENCE)
            for _ in range(10):
                self.page.wait_for_timeout(2500)
                if not self.page.locator(".p-blockui-mask").count():
                    return
        raise TimeoutError(f"The page stayed covered in {STARTS} attempts.")

    def load(self, workflow: Path) -> None:
        """Drop a workflow file on the canvas and fit the view to it."""
        text = workflow.read_text(encoding="utf-8")
        self.page.evaluate(DROP, [workflow.name, text])
        count = len(json.loads(text)["nodes"])
        self.page.wait_for_function(f"() => app.graph.nodes.length === {count}", timeout=PATIENCE)
        self.page.wait_for_timeout(1500)
        self.fit()

    def fit(self) -> None:
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(800)

    def complaints(self) -> dict[str, list[str]]:
        found = {**self.page.evaluate(COMPLAINTS), "errors": self.errors}
        return {kind: what for kind, what in found.items() if what}

    def show_help(self, node_id: str) -> None:
        """Put one node on an empty canvas and open its help."""
        self.page.evaluate(NEW_NODE, node_id)
        self.page.wait_for_timeout(800)
        self.page.get_by_test_id("info-button").first.click()

    def api_graph(self) -> dict:
        """Return the graph that the page would send to run the workflow."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def serialized(self) -> dict:
        """Return the workflow as the page would save it."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.rootGraph.serialize()))")

    def shoot(self, name: str) -> None:
        """Save a screenshot to the folder COMFYUI_SCREENSHOTS, if it is set."""
        if SCREENSHOTS:
            self.fit()
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")

    def open_template(self, name: str) -> None:
        """Open one of the pack's templates from the page's list, as a user does."""
        self.page.evaluate(
            "() => { app.extensionManager.command.execute('Comfy.BrowseTemplates') }"
        )
        self.page.get_by_role("dialog").get_by_text("gpen-restore", exact=True).click()
        self.page.get_by_test_id(f"template-workflow-{name}").click()
        count = len(json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))["nodes"])
        self.page.wait_for_function(f"() => app.graph.nodes.length === {count}", timeout=PATIENCE)
        self.page.wait_for_timeout(1500)
        self.fit()

    def press_run(self) -> None:
        """Press Run."""
        button = self.page.get_by_test_id("queue-button")
        if not button.count():
            button = self.page.get_by_role("button", name="Run", exact=True)
        button.first.click()

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows this text outside the canvas."""
        self.page.wait_for_function(
            "text => document.body.innerText.includes(text)", arg=text, timeout=PATIENCE
        )

    def texts(self) -> list[str]:
        """Return the texts that nodes show after their work."""
        return self.page.evaluate(TEXTS)

    def wait_for_texts(self, texts: list[str]) -> None:
        """Wait until nodes show each of these texts."""
        self.page.wait_for_function(SHOW, arg=texts, timeout=PATIENCE)

    def wait_for_previews(self, counts: dict[str, int]) -> None:
        """Wait until nodes of these kinds show so many pictures each."""
        self.page.wait_for_function(SHOW_PICTURES, arg=counts, timeout=PATIENCE)

    def run(self, seconds: float = 600) -> dict:
        """Press Run and wait; return the new history entry."""
        before = {*self.host.get("history")}
        self.press_run()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(250)
            history = self.host.get("history")
            new = [entry for key, entry in history.items() if key not in before]
            if new:
                self.page.wait_for_timeout(2500)
                return new[0]
        raise TimeoutError(f"Nothing finished in {seconds} s: {self.complaints()}")


@contextmanager
def open_page(host: ComfyUI, *, vue: bool, language: str = "en") -> Iterator[Page]:
    """Open ComfyUI's page with classic nodes or Nodes 2.0 (`vue`), without first-run dialogs."""
    driver_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs chromium: install it, or say where it is in CHROMIUM")
    for key, value in {
        "Comfy.TutorialCompleted": True,
        "Comfy.Workflow.ShowMissingNodesWarning": True,
        "Comfy.Workflow.ShowMissingModelsWarning": True,
        "Comfy.Validation.Workflows": True,
        "Comfy.VueNodes.Enabled": vue,
        "Comfy.Minimap.Visible": False,
        "Comfy.RightSidePanel.IsOpen": False,
        "Comfy.Workflow.Persist": False,
        "Comfy.Locale": language,
    }.items():
        request = urllib.request.Request(
            f"{host.url}settings/{key}",
            json.dumps(value).encode(),
            {"Content-Type": "application/json"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=30).close()
    with driver_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield Page(browser.new_page(viewport={"width": 1600, "height": 1000}), host)
        finally:
            browser.close()
