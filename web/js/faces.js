// Lets a click on the preview of Detect Faces or Select Faces take a face in or out.
//
// A click writes the widget `indices` of Select Faces, so that a saved workflow holds the choice and
// runs without this page. Faces are buttons: the keyboard and touch work as everywhere.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { format, parse } from "./indices.js";
import { addressOf, addView, findNode } from "./view.js";

const DETECT = "GPENDetectFaces";
const SELECT = "GPENSelectFaces";
const ONLY = "Only";
const views = new WeakMap();

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

// Returns the Select Faces nodes that a click on this node's preview writes to.
function targetsOf(node) {
  if (node.comfyClass === SELECT) return [node];
  return (node.outputs?.[0]?.links ?? [])
    .map((id) => node.graph.getLink?.(id) ?? node.graph.links[id])
    .map((link) => node.graph.getNodeById(link?.target_id))
    .filter((target) => target?.comfyClass === SELECT);
}

function write(widget, value) {
  widget.value = value;
  widget.callback?.(value);
}

class FaceView {
  constructor(node) {
    this.node = node;
    this.view = addView(node, "gpen_faces");
    this.only = false;
  }

  // Shows pictures and the buttons of their faces.
  show(pictures, faces) {
    this.faces = faces;
    this.count = Math.max(0, ...faces.flat().map((face) => face.number + 1));
    this.line = make("span", { role: "status" });
    this.onlyButton = make("button", {
      type: "button",
      textContent: ONLY,
      title: "Choose only the face that you click next",
      onclick: () => this.setOnly(!this.only),
    });
    const all = make("button", {
      type: "button",
      textContent: "All",
      title: "Choose every face",
      onclick: () => this.choose(parse("", this.count)),
    });
    this.buttons = [];
    const shown = pictures.map((picture, place) => this.makePicture(picture, faces[place] ?? []));
    const head = make("div", { className: "gpen-line" }, this.line, all, this.onlyButton);
    this.fit(shown, head);
    this.update();
  }

  // Sets the height when the pictures are there: their sizes are not known before.
  fit(shown, head) {
    const images = shown.map((picture) => picture.querySelector("img"));
    const measure = () => {
      const sizes = images.filter((image) => image.naturalWidth);
      const ratio = sizes.reduce((sum, image) => sum + image.naturalHeight / image.naturalWidth, 0);
      this.view.show([head, ...shown], ratio);
    };
    for (const image of images) image.addEventListener("load", measure);
  }

  hide() {
    this.view.show([], 0);
  }

  makePicture(picture, faces) {
    const image = make("img", { src: addressOf(picture), alt: "", draggable: false });
    const buttons = faces.map((face) => {
      const [x, y, width, height] = face.box.map((part) => `${100 * part}%`);
      const text = `Face ${face.number}: ${face.size} px, score ${face.score}`;
      const button = make("button", { type: "button", className: "gpen-face", title: text });
      Object.assign(button.style, { left: x, top: y, width, height });
      button.setAttribute("aria-label", text);
      button.dataset.number = face.number;
      button.onclick = () => this.toggle(face.number);
      for (const kind of ["pointerenter", "focus"])
        button.addEventListener(kind, () => this.say(text));
      for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => this.say());
      this.buttons.push(button);
      return button;
    });
    return make("div", { className: "gpen-picture" }, image, ...buttons);
  }

  setOnly(only) {
    this.only = only;
    this.onlyButton.setAttribute("aria-pressed", only);
  }

  // The numbers that are chosen now, by the text of the first target.
  chosen() {
    const [target] = targetsOf(this.node);
    const text = target ? widgetOf(target, "indices")?.value ?? "" : "";
    return parse(String(text), this.count);
  }

  toggle(number) {
    const chosen = this.chosen();
    if (this.only) {
      this.setOnly(false);
      this.choose(new Set([number]));
    } else if (!chosen.has(number)) this.choose(chosen.add(number));
    else if (chosen.size > 1 && chosen.delete(number)) this.choose(chosen);
    else this.say("One face stays chosen.");
  }

  choose(chosen) {
    const targets = targetsOf(this.node);
    if (!targets.length) {
      this.say("Connect the output faces to Select Faces, then click.");
      return;
    }
    for (const target of targets) {
      write(widgetOf(target, "indices"), format(chosen, this.count));
      // The numbers in the preview of Detect Faces are those of this order.
      if (this.node.comfyClass === DETECT) write(widgetOf(target, "order"), "as detected");
      views.get(target)?.update();
    }
    app.graph.setDirtyCanvas(true, true);
    app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.();
    this.update();
  }

  // Shows which faces are chosen.
  update() {
    if (!this.buttons) return;
    const chosen = this.chosen();
    for (const button of this.buttons)
      button.setAttribute("aria-pressed", chosen.has(Number(button.dataset.number)));
    this.said = `${chosen.size} of ${this.count} chosen`;
    this.say();
  }

  say(text = this.said) {
    this.line.textContent = text;
  }
}

app.registerExtension({
  name: "gpen.faces",
  nodeCreated(node) {
    if (![DETECT, SELECT].includes(node.comfyClass)) return;
    views.set(node, new FaceView(node));
    const indices = widgetOf(node, "indices");
    if (!indices) return;
    const changed = indices.callback;
    indices.callback = function (...values) {
      const result = changed?.apply(this, values);
      views.get(node)?.update();
      return result;
    };
  },
});

// This listener comes before the page's own: it takes the pictures that would be shown twice.
api.addEventListener("executed", ({ detail }) => {
  const node = findNode(detail.display_node ?? detail.node);
  const view = node && views.get(node);
  if (!view) return;
  const { images, gpen_faces: faces } = detail.output ?? {};
  if (!faces || !images) {
    view.hide();
    return;
  }
  delete detail.output.images;
  if (node.imgs) node.imgs = [];
  view.show(images, faces);
});
