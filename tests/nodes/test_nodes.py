"""The contract of every node: ids, sockets, texts and help pages. No network runs.

`test_comfyui.py` runs this file again with the modules of a real ComfyUI.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from node_fixtures import SIGNATURES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def schemas(nodes):
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in nodes.NODES}


def test_ids_sockets_and_widgets_are_those_of_saved_workflows(schemas):
    # Saved workflows hold ids, names and the order of widgets: append, never change.
    found = {
        node_id: ([i.id for i in schema.inputs], [o.id for o in schema.outputs])
        for node_id, schema in schemas.items()
    }
    assert found == SIGNATURES


def test_the_extension_lists_all_nodes(pack, nodes):
    extension = asyncio.run(pack.comfy_entrypoint())
    assert asyncio.run(extension.get_node_list()) == nodes.NODES


def test_the_root_offers_v3_only():
    # With NODE_CLASS_MAPPINGS the host would ignore comfy_entrypoint.
    text = (ROOT / "__init__.py").read_text(encoding="utf-8")
    assert "comfy_entrypoint" in text
    assert "NODE_CLASS_MAPPINGS" not in text


def test_every_node_socket_and_widget_has_an_explanation(schemas):
    for schema in schemas.values():
        assert schema.description, schema.node_id
        assert schema.category == "image/face restoration"
        for socket in [*schema.inputs, *schema.outputs]:
            assert socket.tooltip, f"{schema.node_id}.{socket.id} has no tooltip"


def test_users_find_the_nodes_by_common_search_words(schemas):
    wanted = {"face restore", "face enhance", "gpen", "upscale face", "fix face"}
    for node_id in ("GPENRestoreFaces", "GPENRestoreImage"):
        assert wanted <= {*schemas[node_id].search_aliases}
    assert all(schema.search_aliases for schema in schemas.values())


def test_rare_widgets_are_advanced(schemas):
    advanced = {
        f"{node_id}.{socket.id}"
        for node_id, schema in schemas.items()
        for socket in schema.inputs
        if socket.advanced
    }
    assert advanced == {
        "LoadGPEN.dtype",
        "LoadGPEN.engine",
        "GPENDetectFaces.template",
        "GPENDetectFaces.min_face",
        "GPENDetectFaces.turns",
        "GPENDetectFaces.refine",
        "GPENDetectFaces.crop_factor",
        "GPENCropFaces.crop_factor",
        "GPENSelectFaces.size_unit",
        "GPENRestoreFaces.batch_size",
        "GPENDegrade.face_size",
        "GPENPasteBack.mask_kind",
        "GPENPasteBack.regions",
        "GPENPasteBack.grain",
        "GPENRestoreImage.threshold",
        "GPENRestoreImage.indices",
        "GPENRestoreImage.min_size",
        "GPENRestoreImage.max_size",
        "GPENRestoreImage.size_unit",
        "GPENRestoreImage.template",
        "GPENRestoreImage.batch_size",
        "GPENRestoreImage.feather",
        "GPENRestoreImage.mask_kind",
        "GPENRestoreImage.regions",
        "GPENRestoreImage.grain",
        "GPENRestoreImage.min_face",
        "GPENRestoreImage.turns",
        "GPENRestoreImage.refine",
        "GPENRestoreImage.leave_clean",
        "GPENRestoreFaces.leave_clean",
        "GPENRestoreImage.strengths",
        "GPENRestoreImage.colour",
        "GPENRestoreFaces.colour",
        "LoadGPENFaceRestorer.dtype",
        "GPENRestoreVideo.threshold",
        "GPENRestoreVideo.detect_every",
        "GPENRestoreVideo.steady",
        "GPENRestoreVideo.colour",
        "GPENRestoreVideo.crf",
    }


def test_importing_the_nodes_is_quick_and_loads_no_face_library():
    # ComfyUI imports kornia and torchvision itself before it loads node packs.
    code = f"""
import asyncio, sys, time
sys.path[:0] = [{str(ROOT / "tests" / "doubles")!r}, {str(ROOT / "tests" / "support")!r}]
import kornia, torch, torchvision
import importlib.util
spec = importlib.util.spec_from_file_location(
    "pack", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}])
pack = importlib.util.module_from_spec(spec); sys.modules["pack"] = pack
start = time.process_time()
spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
asyncio.run(extension.on_load())
nodes = asyncio.run(extension.get_node_list())
[node.GET_SCHEMA() for node in nodes]
print(time.process_time() - start, *sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    seconds, *loaded = done.stdout.split()
    assert not {"facexlib", "facenet_pytorch", "llvmlite"} & {*loaded}
    # 0.1 s of processor time.
    assert float(seconds) < 2


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_every_text_exists_in_every_language(schemas, language):
    file = ROOT / "locales" / language / "nodeDefs.json"
    texts = json.loads(file.read_text(encoding="utf-8"))
    assert {*texts} == {*schemas}
    for node_id, schema in schemas.items():
        text = texts[node_id]
        assert text["display_name"]
        assert text["description"]
        assert {*text["inputs"]} == {socket.id for socket in schema.inputs}
        assert {*text["outputs"]} == {str(place) for place in range(len(schema.outputs))}
        for part in [*text["inputs"].values(), *text["outputs"].values()]:
            assert part["name"]
            assert part["tooltip"]


@pytest.mark.parametrize("language", ["zh-TW", "ko", "fr", "es", "ru", "pt-BR"])
def test_other_languages_name_the_nodes_and_nothing_that_is_gone(schemas, language):
    # The page shows the English text where a translation lacks one, so a new input need not wait.
    file = ROOT / "locales" / language / "nodeDefs.json"
    texts = json.loads(file.read_text(encoding="utf-8"))
    assert {*texts} <= {*schemas}
    inputs = [len(schema.inputs) for schema in schemas.values()]
    assert sum(len(text["inputs"]) for text in texts.values()) > 0.8 * sum(inputs)
    for node_id, text in texts.items():
        schema = schemas[node_id]
        assert text["display_name"].strip() and text["description"].strip()
        assert {*text["inputs"]} <= {socket.id for socket in schema.inputs}
        assert {*text["outputs"]} <= {str(place) for place in range(len(schema.outputs))}
        for part in [*text["inputs"].values(), *text["outputs"].values()]:
            assert part["name"].strip() and part["tooltip"].strip()
        for socket in schema.inputs:  # choices are not translated, so texts name them as they are
            tooltip = text["inputs"].get(socket.id, {}).get("tooltip", "")
            for choice in getattr(socket, "options", None) or []:
                if tooltip and f"{choice}:" in socket.tooltip:
                    assert choice in tooltip, (node_id, socket.id, choice)


def test_english_texts_are_those_of_the_nodes(schemas):
    texts = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    for node_id, schema in schemas.items():
        assert texts[node_id]["display_name"] == schema.display_name
        assert texts[node_id]["description"] == schema.description
        for socket in schema.inputs:
            assert texts[node_id]["inputs"][socket.id]["tooltip"] == socket.tooltip
        for place, socket in enumerate(schema.outputs):
            assert texts[node_id]["outputs"][str(place)]["tooltip"] == socket.tooltip


def test_every_node_has_a_help_page_with_a_picture_that_exists(schemas):
    folder = ROOT / "web" / "docs"
    for node_id in schemas:
        page = (folder / f"{node_id}.md").read_text(encoding="utf-8")
        pictures = [part.split(")")[0] for part in page.split("](")[1:] if "![" in page]
        pictures = [name for name in pictures if name.endswith((".jpg", ".png"))]
        assert pictures, f"{node_id}.md shows no picture"
        for name in pictures:
            assert (folder / name).is_file(), f"{node_id}.md shows {name}, which is not there"


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_help_pages_in_other_languages_have_the_outline_of_the_english_ones(schemas, language):
    folder = ROOT / "web" / "docs"
    for node_id in schemas:
        texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
        english = (folder / f"{node_id}.md").read_text(encoding="utf-8")
        translated = (folder / node_id / f"{language}.md").read_text(encoding="utf-8")
        assert outline(translated) == outline(english), node_id
        assert translated.splitlines()[0] == f"# {texts[node_id]['display_name']}"
        prose = re.sub(r"`[^`]*`|\*[^*]*\*|!\[|[|():/.,\s\d#-]", "", translated)
        assert sum(letter.isascii() for letter in prose) < len(prose) / 3, node_id


def outline(page: str) -> dict[str, list]:
    """Return the parts that a translation keeps: headings, pictures, table rows, code."""
    lines = page.splitlines()
    return {
        "headings": [line.split(" ")[0] for line in lines if line.startswith("#")],
        "pictures": re.findall(r"!\[[^]]+\]\(([^)]+)\)", page),
        "rows": [line.count("|") for line in lines if line.startswith("|")],
        "choices": sorted(re.findall(r"(?<!\*)\*([^*\s][^*]*)\*(?!\*)", page)),
        "code": sorted(re.findall(r"`([^`]+)`", page)),
    }
