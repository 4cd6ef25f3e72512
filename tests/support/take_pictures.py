"""Takes pictures of finished graphs for help pages, the template browser and README.

It needs everything that the tests marked `browser` need. Look at every picture afterwards:

    COMFYUI_PATH=… COMFYUI_PYTHON=… python tests/support/take_pictures.py [NAME…]
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
sys.path[:0] = [str(SUPPORT), str(ROOT)]

from comfyui_host import ComfyUI  # noqa: E402
from comfyui_page import Page, open_page  # noqa: E402
from PIL import Image  # noqa: E402
from workflow_files import CHECKPOINTS, put_checkpoints  # noqa: E402

DOCS, WORKFLOWS = ROOT / "web" / "docs", ROOT / "workflows"
HELP_WIDTH, THUMBNAIL_WIDTH, QUALITY = 1100, 800, 82
VIEW = {"width": 2000, "height": 1200}
MARGIN = 14
PHOTOGRAPHS = ROOT / "nodes" / "photographs"
THUMBNAIL_SIDE = 396
TASKS = {
    "colorize_faces": "GPENColorizeFaces",
    "inpaint_faces": "GPENInpaintFaces",
    "faces_from_segmentation": "GPENFacesFromSegmentation",
}
"""Workflows whose published model we do not have, and the node that a thumbnail shows instead."""
FACES = {
    "portrait": (130, 10, 330, 210),
    "clip": (130, 10, 330, 210),
    "group": (520, 60, 820, 360),
    "old": (130, 10, 330, 210),
}
"""The part of each photograph that a thumbnail shows."""

LOAD = {
    "1": ("GPENExamplePhotograph", (0, 0), {"photograph": "portrait"}),
    "2": ("LoadGPEN", (400, 0), {"file": "built-in (256)", "dtype": "auto"}),
}
DETECT = {
    "threshold": 0, "min_size": 0, "max_faces": 0, "crop_size": "from model", "template": "gpen",
}  # fmt: skip
GRAPHS = {
    "choose_detector": {
        **LOAD,
        "3": ("LoadGPENFaceDetector", (400, 200), {"detector": "mtcnn", "file": "none"}),
        "4": ("GPENRestoreImage", (800, 0), {
            "image": ["1", 0], "model": ["2", 0], "strength": 1, "detector": ["3", 0],
        }),
        "5": ("SaveImage", (1200, 0), {"images": ["4", 0], "filename_prefix": "GPEN"}),
    },
    "crop_faces": {
        **LOAD,
        "3": ("GPENDetectFaces", (800, 0), {"image": ["1", 0], "model": ["2", 0], **DETECT}),
        "4": ("GPENCropFaces", (1200, 0), {"image": ["1", 0], "faces": ["3", 0], "size": "512"}),
        "5": ("PreviewImage", (1200, 220), {"images": ["4", 1]}),
    },
    "face_info": {
        **LOAD,
        "3": ("GPENDetectFaces", (800, 0), {"image": ["1", 0], "model": ["2", 0], **DETECT}),
        "4": ("GPENFaceInfo", (1200, 0), {"faces": ["3", 0], "image": ["1", 0]}),
        "5": ("PreviewAny", (1600, 0), {"source": ["4", 1]}),
    },
    "restore_faces": {
        **LOAD,
        "3": ("GPENDetectFaces", (800, 0), {"image": ["1", 0], "model": ["2", 0], **DETECT}),
        "4": ("GPENRestoreFaces", (1600, 0), {
            "model": ["2", 0], "crops": ["3", 1], "strength": 1, "batch_size": 0,
        }),
        "5": ("PreviewImage", (1200, 0), {"images": ["3", 1]}),
        "6": ("SaveImage", (2000, 0), {"images": ["4", 0], "filename_prefix": "GPEN"}),
    },
}  # fmt: skip
PLACE = """async ([graph, places]) => {
  await app.loadApiJson(graph, "help");
  for (const [id, at] of Object.entries(places)) {
    const node = app.graph.nodes.find(n => String(n.id) === id);
    node.pos = at;
    node.setSize([340, node.computeSize()[1]]);
  }
}"""
INPUTS = {"GPENExamplePhotograph", "SolidMask", "MaskComposite"}
NODES_AT = """only => [...document.querySelectorAll('[data-node-id]')]
  .filter(e => !only || app.graph.nodes.some(
    n => n.type === only && String(n.id) === e.dataset.nodeId))
  .map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"""


def draw_thumbnail(host: ComfyUI, name: str) -> Image.Image:
    """Show the photograph beside its result, both cut to the face; without a result, two faces."""
    graph = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))
    kind = graph["1"]["inputs"]["photograph"]
    before = Image.open(PHOTOGRAPHS / ("group.jpg" if kind == "group" else "portrait.jpg"))
    last = next(key for key, node in graph.items() if node["class_type"].startswith("Save"))
    source = next(v for v in graph[last]["inputs"].values() if isinstance(v, list))
    if name == "restore_video":
        graph["frames"] = {"class_type": "GetVideoComponents", "inputs": {"video": source}}
        source = ["frames", 0]
    if name == "video_frames":
        source = graph[source[0]]["inputs"]["images"]
    if name == "portrait_2048":  # as the model that comes with the pack restores it
        graph["2"]["inputs"]["file"] = "built-in (256)"
    if name == "diffusion_between":  # what comes without the checkpoint
        graph = {key: graph[key] for key in ("1", "2", "3", "4", "6")}
        graph["6"]["inputs"]["crops"], source = ["4", 0], ["6", 0]
    graph = {k: v for k, v in graph.items() if not v["class_type"].startswith(("Save", "Preview"))}
    graph["out"] = {"class_type": "SaveImage",
                    "inputs": {"images": source, "filename_prefix": "thumbnail"}}  # fmt: skip
    after = Image.open(host.pictures(host.run(graph), "out")[0])
    if kind == "old":
        shown = {key: graph[key] for key in ("1", "6")}
        shown["6"]["inputs"]["image"] = ["1", 0]
        shown["out"] = {**graph["out"], "inputs": {**graph["out"]["inputs"], "images": ["6", 0]}}
        before = Image.open(host.pictures(host.run(shown), "out")[0])
    if kind == "clip":
        before = before.crop((0, 0, *after.size))
    return pair_up(*(
        picture.convert("RGB").resize(before.size, Image.Resampling.LANCZOS).crop(FACES[kind])
        for picture in (before, after)
    ))  # fmt: skip


def draw_task(host: ComfyUI, page: Page, name: str) -> Image.Image:
    """Show the picture that a task's node gets beside the node; no result of a model."""
    graph = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))
    graph = {key: graph[key] for key in graph if graph[key]["class_type"] in INPUTS}
    kind = graph["1"]["inputs"]["photograph"]
    image = ["1", 0]
    if name == "inpaint_faces":
        graph["white"] = {"class_type": "MaskToImage", "inputs": {"mask": ["5", 0]}}
        graph["holes"] = {"class_type": "ImageCompositeMasked", "inputs": {
            "destination": image, "source": ["white", 0], "mask": ["5", 0],
            "x": 0, "y": 0, "resize_source": False,
        }}  # fmt: skip
        image = ["holes", 0]
    graph["out"] = {"class_type": "SaveImage",
                    "inputs": {"images": image, "filename_prefix": "thumbnail"}}  # fmt: skip
    given = Image.open(host.pictures(host.run(graph), "out")[0]).convert("RGB")
    given = given if kind == "map" else given.crop(FACES["portrait"])
    shown = take_picture(page, TASKS[name])
    side = max(shown.size)
    square = Image.new("RGB", (side, side), shown.getpixel((2, 2)))
    square.paste(shown, (0, (side - shown.height) // 2))
    return pair_up(given, square)


def pair_up(*pictures: Image.Image) -> Image.Image:
    """Put two square pictures side by side."""
    pair = Image.new("RGB", (2 * THUMBNAIL_SIDE + 8, THUMBNAIL_SIDE), "white")
    for left, picture in zip((0, THUMBNAIL_SIDE + 8), pictures, strict=True):
        pair.paste(picture.resize((THUMBNAIL_SIDE,) * 2, Image.Resampling.LANCZOS), (left, 0))
    return pair


def load(page: Page, name: str) -> None:
    if name not in GRAPHS:
        page.load(WORKFLOWS / f"{name}.json")
        return
    nodes = GRAPHS[name]
    graph = {key: {"class_type": kind, "inputs": given} for key, (kind, _, given) in nodes.items()}
    page.page.evaluate(PLACE, [graph, {key: at for key, (_, at, _) in nodes.items()}])
    page.page.wait_for_timeout(1500)


def take_picture(page: Page, only: str | None = None) -> Image.Image:
    """Take a screenshot of the graph, or of a node of the kind `only`, cut out of the page."""
    page.page.evaluate("() => app.canvas.deselectAll()")
    page.fit()
    page.page.mouse.move(5, VIEW["height"] - 5)
    page.page.wait_for_timeout(6000)  # until the message that the job is done disappears
    lefts, tops, rights, bottoms = zip(*page.page.evaluate(NODES_AT, only), strict=True)
    left, top = min(lefts) - MARGIN, min(tops) - MARGIN
    clip = {
        "x": left, "y": top,
        "width": max(rights) + MARGIN - left, "height": max(bottoms) + MARGIN - top,
    }  # fmt: skip
    return Image.open(io.BytesIO(page.page.screenshot(clip=clip))).convert("RGB")


def write(picture: Image.Image, path: Path, width: int) -> None:
    size = (min(width, picture.width), round(picture.height * min(1, width / picture.width)))
    picture.resize(size, Image.Resampling.LANCZOS).save(path, quality=QUALITY, optimize=True)


def main(names: list[str]) -> None:
    every = [*GRAPHS, *(path.stem for path in sorted(WORKFLOWS.glob("*.json")))]
    with tempfile.TemporaryDirectory() as folder:
        host = ComfyUI(Path(folder))
        try:
            for name in names or every:
                put_checkpoints(host.base)
                with open_page(host, vue=True) as page:
                    page.page.set_viewport_size(VIEW)
                    load(page, name)
                    if name not in CHECKPOINTS:
                        entry = page.run()
                        assert entry["status"]["status_str"] == "success", json.dumps(entry)
                    picture = take_picture(page)
                    task = draw_task(host, page, name) if name in TASKS else None
                write(picture, DOCS / f"{name}.jpg", HELP_WIDTH)
                if name not in GRAPHS:
                    thumbnail = task or draw_thumbnail(host, name)
                    write(thumbnail, WORKFLOWS / f"{name}.jpg", THUMBNAIL_WIDTH)
                print(name, picture.size)
        finally:
            host.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
