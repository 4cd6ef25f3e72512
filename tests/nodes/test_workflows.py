"""The workflow files fit the nodes, and they run in a real ComfyUI and in its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_host import ROOT
from comfyui_page import open_page
from node_fixtures import SIGNATURES
from PIL import Image
from workflow_files import CHECKPOINTS, put_checkpoints

from gpen_core.checkpoints import catalog

FOLDER = ROOT / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
NAMES = [path.stem for path in FILES]
ONLY_LOAD = {"diffusion_between"}
"""Workflows that are not run: they need a checkpoint of several gigabytes."""
NEEDS_NO_FACE = ONLY_LOAD | {"faces_from_segmentation"}
EXPECTED = {
    "restore_photo", "restore_step_by_step", "choose_faces", "pass_between", "diffusion_between",
    "upscaled_background", "restore_video", "video_frames", "compare", "colorize_faces",
    "inpaint_faces", "faces_from_segmentation", "portrait_2048", "old_photo",
}  # fmt: skip
WIDGETS = {"INT", "FLOAT", "STRING", "COMBO", "BOOLEAN"}


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_api_twin(name: str) -> dict:
    return read_json(FOLDER / "api" / f"{name}.json")


def test_every_workflow_has_its_files():
    assert {*NAMES} == EXPECTED
    assert {path.stem for path in (FOLDER / "api").glob("*.json")} == EXPECTED
    assert {path.stem for path in FOLDER.glob("*.jpg")} == EXPECTED


def test_no_other_folder_hides_the_workflows_from_the_template_browser():
    for name in ("example_workflows", "example", "examples", "workflow"):
        assert not (ROOT / name).exists()


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_thumbnails_are_small_pictures(path):
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < 150_000
    with Image.open(thumbnail) as picture:
        assert picture.format == "JPEG"
        assert min(picture.size) >= 200


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_node_of_a_workflow_names_its_pack_and_version(path):
    for node in read_json(path)["nodes"]:
        ours = node["type"] in SIGNATURES
        assert node["properties"]["cnr_id"] == ("gpen-restore" if ours else "comfy-core")
        assert node["properties"]["ver"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_workflow_loads_no_file_that_a_new_user_lacks(path):
    types = {node["type"] for node in read_json(path)["nodes"]}
    assert not {"LoadImage", "LoadVideo"} & types


@pytest.mark.parametrize("name", NAMES)
def test_workflow_says_which_checkpoint_it_needs_and_where_it_is_published(name):
    workflow = read_json(FOLDER / f"{name}.json")
    models = [m for node in workflow["nodes"] for m in node["properties"].get("models", [])]
    needed = CHECKPOINTS.get(name)
    assert [f"{m['directory']}/{m['name']}" for m in models] == ([needed] if needed else [])
    for model in models:
        entry = catalog.look_up(model["name"])
        assert entry is None or entry.url == model["url"]
        (note,) = (n for n in workflow["nodes"] if n["type"] == "MarkdownNote")
        assert f"models/{model['directory']}" in note["widgets_values"][0]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_links_of_a_workflow_are_consistent(path):
    workflow = read_json(path)
    assert workflow["version"] == 0.4
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    for identity, source, slot, target, place, kind in workflow["links"]:
        assert identity in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][place]["link"] == identity
        assert kind in (nodes[source]["outputs"][slot]["type"], "*")
    for node in nodes.values():
        for socket in node.get("inputs", []):
            assert socket.get("link") is None or socket["link"] in links


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_workflow_has_the_sockets_and_widgets_of_the_nodes(path, nodes):
    schemas = {cls.GET_SCHEMA().node_id: cls.GET_SCHEMA() for cls in nodes.NODES}
    seen = set()
    for node in read_json(path)["nodes"]:
        schema = schemas.get(node["type"])
        if schema is None:
            continue
        seen.add(node["type"])
        assert {socket["name"] for socket in node["inputs"]} == {*SIGNATURES[node["type"]][0]}
        assert [socket["name"] for socket in node["outputs"]] == SIGNATURES[node["type"]][1]
        widgets = [socket for socket in schema.inputs if socket.io_type in WIDGETS]
        assert len(node["widgets_values"]) == len(widgets)
    assert seen


@pytest.mark.parametrize("name", NAMES)
def test_api_twin_has_the_same_nodes_and_values(name):
    twin = {int(key): node for key, node in read_api_twin(name).items()}
    shown = {n["id"]: n for n in read_json(FOLDER / f"{name}.json")["nodes"]}
    shown = {key: node for key, node in shown.items() if node["type"] != "MarkdownNote"}
    assert {key: node["class_type"] for key, node in twin.items()} == {
        key: node["type"] for key, node in shown.items()
    }
    for key, node in twin.items():
        if node["class_type"] in SIGNATURES:
            plain = [value for value in node["inputs"].values() if not isinstance(value, list)]
            assert sorted(map(str, plain)) == sorted(map(str, shown[key]["widgets_values"]))


@pytest.mark.comfyui
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONLY_LOAD])
def test_api_twin_runs(comfyui, name):
    put_checkpoints(comfyui.base)
    entry = comfyui.run(read_api_twin(name))
    assert entry["outputs"]


@pytest.mark.comfyui
@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEEDS_NO_FACE])
def test_api_twin_runs_on_an_image_without_a_face(comfyui, name):
    put_checkpoints(comfyui.base)
    Image.effect_noise((512, 512), 40).save(comfyui.base / "input" / "example.png")
    graph = read_api_twin(name)
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    assert comfyui.run(graph)["outputs"]


@pytest.mark.comfyui
def test_the_template_browser_lists_the_workflows_with_their_pictures(comfyui):
    assert {*comfyui.get("workflow_templates")["gpen-restore"]} == EXPECTED


@pytest.mark.browser
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "nodes-2.0"])
def test_every_workflow_loads_and_runs_in_the_page_without_an_error(comfyui, vue, tmp_path):
    put_checkpoints(comfyui.base)
    for path in FILES:
        with open_page(comfyui, vue=vue) as page:
            page.load(path)
            assert not page.complaints(), f"{path.name} loaded"
            assert page.api_graph() == read_api_twin(path.stem), f"{path.name}: API twin differs"
            if path.stem not in ONLY_LOAD:
                entry = page.run()
                assert entry["status"]["status_str"] == "success", path.name
                assert not page.complaints(), f"{path.name} ran"
            page.shoot(f"{path.stem}-{'vue' if vue else 'classic'}")


def wait_for_help(page, file: Path) -> None:
    """Wait until the page shows this help page and the picture in it."""
    page.page.wait_for_function(
        """title => [...document.querySelectorAll('h1')].some(e => e.innerText === title)
        && [...document.querySelectorAll('img[src*="/docs/"]')]
           .some(picture => picture.naturalWidth > 200)""",
        arg=file.read_text("utf-8").split("\n")[0][2:],
        timeout=15_000,
    )


@pytest.mark.browser
def test_the_page_shows_the_help_of_every_node_with_its_picture(comfyui):
    with open_page(comfyui, vue=False) as page:
        for node_id in SIGNATURES:
            page.show_help(node_id)
            wait_for_help(page, ROOT / "web" / "docs" / f"{node_id}.md")
            assert not page.complaints(), node_id


@pytest.mark.browser
@pytest.mark.parametrize(
    ("language", "title"), [("zh", "修复图像 (GPEN)"), ("ja", "画像を復元 (GPEN)")]
)
def test_the_page_shows_titles_and_help_in_the_users_language(comfyui, language, title):
    put_checkpoints(comfyui.base)
    with open_page(comfyui, vue=False, language=language) as page:
        page.load(FOLDER / "restore_photo.json")
        shown = page.page.evaluate(
            "() => LiteGraph.registered_node_types['GPENRestoreImage'].title"
        )
        assert shown == title
        for node_id in ("GPENRestoreImage", "GPENDetectFaces"):
            page.show_help(node_id)
            wait_for_help(page, ROOT / "web" / "docs" / node_id / f"{language}.md")
