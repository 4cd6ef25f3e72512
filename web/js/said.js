// Keeps the text and the pictures on our nodes true.
//
// ComfyUI keeps a node's `ui` values and sends them again when it answers the node from its cache,
// but its text only once, while the node runs. Nodes therefore give their text as a `ui` value,
// too. Classic nodes keep the pictures of the run before when a run gives none.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

api.addEventListener("executed", ({ detail }) => {
  const said = detail.output?.gpen_said?.[0];
  if (!said) return;
  const id = String(detail.display_node ?? detail.node);
  api.dispatchCustomEvent("progress_text", { nodeId: id, text: said });
  const node = app.graph?.getNodeById(id);
  if (node?.imgs && !detail.output.images) node.imgs = [];
});
