// Shows the result of Restore Image over the photograph, with a line to move between them.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { addressOf, addView, findNode } from "./view.js";

const RESTORE = "GPENRestoreImage";
const views = new WeakMap();

function makePicture(picture) {
  return Object.assign(new Image(), { src: addressOf(picture), alt: "", draggable: false });
}

class Comparison {
  constructor(node) {
    this.view = addView(node, "gpen_compare");
  }

  show(before, after) {
    this.pairs = before.map((picture, place) => [picture, after[place]]);
    this.turnTo(0);
  }

  hide() {
    this.view.show([], 0);
  }

  turnTo(place) {
    const [before, after] = this.pairs[place].map(makePicture);
    const line = document.createElement("i");
    const slider = Object.assign(document.createElement("input"), {
      type: "range",
      min: 0,
      max: 100,
      step: 1,
      value: 50,
      title: "Before | after",
    });
    slider.setAttribute("aria-label", "Before and after");
    const move = () => {
      after.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
      line.style.left = `${slider.value}%`;
    };
    slider.addEventListener("input", move);
    move();
    const box = document.createElement("div");
    box.className = "gpen-compare";
    box.append(before, after, line, slider);
    const head = this.makeHead(place);
    before.addEventListener("load", () =>
      this.view.show([head, box], before.naturalHeight / before.naturalWidth),
    );
  }

  // The words on both sides of the line, and a button for each image of a batch.
  makeHead(place) {
    const head = document.createElement("div");
    head.className = "gpen-line";
    const words = document.createElement("span");
    words.textContent = "before | after";
    head.append(words);
    if (this.pairs.length > 1)
      this.pairs.forEach((_, number) => {
        const button = Object.assign(document.createElement("button"), {
          type: "button",
          textContent: number,
          title: `Image ${number}`,
          onclick: () => this.turnTo(number),
        });
        button.setAttribute("aria-pressed", number === place);
        head.append(button);
      });
    return head;
  }
}

app.registerExtension({
  name: "gpen.compare",
  nodeCreated(node) {
    if (node.comfyClass === RESTORE) views.set(node, new Comparison(node));
  },
});

api.addEventListener("executed", ({ detail }) => {
  const node = findNode(detail.display_node ?? detail.node);
  const view = node && views.get(node);
  if (!view) return;
  const { gpen_before: before, gpen_after: after } = detail.output ?? {};
  if (before && after) view.show(before, after);
  else view.hide();
});
