// A view of our own on a node, which works with classic nodes and with Nodes 2.0.

import { app } from "../../../scripts/app.js";

// Finds the node that an event speaks of. Inside a subgraph, ids look like "12:3".
export function findNode(id) {
  const parts = String(id).split(":");
  const last = parts.pop();
  let graph = app.rootGraph ?? app.graph;
  for (const part of parts) graph = graph?.getNodeById(Number(part))?.subgraph;
  return graph?.getNodeById(Number(last)) ?? graph?.getNodeById(last);
}

// Returns the address of a picture that the host keeps.
export function addressOf({ filename, subfolder, type }) {
  const query = new URLSearchParams({ filename, subfolder: subfolder ?? "", type });
  return `./api/view?${query}`;
}

// Adds an empty view to a node. `show(elements, ratio)` fills it; `ratio` is height / width.
export function addView(node, name) {
  const element = document.createElement("div");
  element.className = "gpen-view";
  element.hidden = true;
  let ratio = 0;
  const height = () => (element.hidden ? 0 : Math.round((node.size[0] - 20) * ratio) + 34);
  const widget = node.addDOMWidget(name, name, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: height,
    getMaxHeight: height,
  });
  widget.serialize = false; // keeps it out of saved workflows
  // The host drags nodes and pans the canvas by the same events.
  for (const kind of ["pointerdown", "mousedown", "touchstart"])
    element.addEventListener(kind, (event) => event.stopPropagation());
  return {
    element,
    show(parts, newRatio) {
      const was = height();
      ratio = newRatio;
      element.replaceChildren(...parts);
      element.hidden = !parts.length;
      element.style.minHeight = `${height()}px`;
      const grown = height() - was;
      if (grown) node.setSize([node.size[0], Math.max(node.size[1] + grown, 60)]);
      app.graph?.setDirtyCanvas(true, true);
    },
  };
}

const style = document.createElement("style");
style.textContent = `
.gpen-view { width: 100%; color: var(--input-text, #ddd); font: 12px sans-serif; }
.gpen-view [hidden] { display: none; }
.gpen-picture { position: relative; line-height: 0; margin-bottom: 2px; }
.gpen-picture img { width: 100%; display: block; user-select: none; }
.gpen-face { position: absolute; box-sizing: border-box; padding: 0; margin: 0; cursor: pointer;
  background: transparent; border: 2px solid transparent; border-radius: 3px; }
.gpen-face[aria-pressed="true"] { border-color: #3c6; }
.gpen-face[aria-pressed="false"] { background: #000a; border-color: #888; }
.gpen-face:hover, .gpen-face:focus-visible { border-color: #fff; outline: 2px solid #39f; z-index: 1; }
.gpen-line { display: flex; gap: 6px; align-items: center; min-height: 26px; line-height: 1.2; }
.gpen-line span { flex: 1; overflow: hidden; text-overflow: ellipsis; }
.gpen-line button { font: inherit; padding: 3px 8px; cursor: pointer; border-radius: 4px;
  color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #555); }
.gpen-line button[aria-pressed="true"] { border-color: #39f; }
.gpen-compare { position: relative; line-height: 0; }
.gpen-compare img { width: 100%; display: block; user-select: none; }
.gpen-compare img + img { position: absolute; inset: 0; height: 100%; }
.gpen-compare i { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
.gpen-compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0;
  opacity: 0; cursor: ew-resize; }
.gpen-compare:focus-within { outline: 2px solid #39f; }
`;
document.head.append(style);
