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

import numpy as np

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
sys.path[:0] = [str(SUPPORT), str(ROOT), str(ROOT / "demo")]

from comfyui_host import COMFYUI_PYTHON, ComfyUI  # noqa: E402
from comfyui_page import Page, open_page  # noqa: E402
from comfyui_pictures import load_astronaut, write_video  # noqa: E402
from make_demo import degrade  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402

DOCS, WORKFLOWS = ROOT / "web" / "docs", ROOT / "workflows"
HELP_WIDTH, THUMBNAIL_WIDTH, QUALITY = 1100, 800, 82
VIEW = {"width": 2000, "height": 1200}
MARGIN = 14
ONLY_LOAD = {"diffusion_between"}

LOAD = {
    "1": ("LoadImage", (0, 0), {"image": "example.png"}),
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
NODES_AT = """() => [...document.querySelectorAll('[data-node-id]')]
  .map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"""


def damage(picture: Image.Image) -> Image.Image:
    return degrade(np.asarray(picture))


def draw_group() -> Image.Image:
    """Draw three portraits of different sizes side by side."""
    portrait = load_astronaut()
    scene = Image.new("RGB", (1100, 512), (74, 72, 70))
    for left, side, mirrored in ((0, 400, False), (330, 512, True), (760, 340, False)):
        part = portrait.crop((90, 0, 390, 300)).resize((side, side), Image.Resampling.LANCZOS)
        scene.paste(ImageOps.mirror(part) if mirrored else part, (left, 512 - side))
    return damage(scene)


def put_inputs(base: Path, name: str) -> None:
    folder = base / "input"
    picture = draw_group() if name == "choose_faces" else damage(load_astronaut())
    picture.save(folder / "example.png")
    if name == "video_frames":
        frames = [picture.crop((n, 0, n + 448, 336)) for n in range(0, 64, 4)]
        write_video(COMFYUI_PYTHON, folder / "example.mp4", frames)
    if name == "diffusion_between":
        checkpoints = base / "models" / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        (checkpoints / "v1-5-pruned-emaonly-fp16.safetensors").touch()


def load(page: Page, name: str) -> None:
    if name not in GRAPHS:
        page.load(WORKFLOWS / f"{name}.json")
        return
    nodes = GRAPHS[name]
    graph = {key: {"class_type": kind, "inputs": given} for key, (kind, _, given) in nodes.items()}
    page.page.evaluate(PLACE, [graph, {key: at for key, (_, at, _) in nodes.items()}])
    page.page.wait_for_timeout(1500)


def take_picture(page: Page) -> Image.Image:
    """Take a screenshot of the graph, cut out of the page."""
    page.page.evaluate("() => app.canvas.deselectAll()")
    page.fit()
    page.page.mouse.move(5, VIEW["height"] - 5)
    page.page.wait_for_timeout(6000)  # until the message that the job is done disappears
    lefts, tops, rights, bottoms = zip(*page.page.evaluate(NODES_AT), strict=True)
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
                put_inputs(host.base, name)
                with open_page(host, vue=True) as page:
                    page.page.set_viewport_size(VIEW)
                    load(page, name)
                    if name not in ONLY_LOAD:
                        entry = page.run()
                        assert entry["status"]["status_str"] == "success", json.dumps(entry)
                    picture = take_picture(page)
                write(picture, DOCS / f"{name}.jpg", HELP_WIDTH)
                if name not in GRAPHS:
                    write(picture, WORKFLOWS / f"{name}.jpg", THUMBNAIL_WIDTH)
                print(name, picture.size)
        finally:
            host.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
