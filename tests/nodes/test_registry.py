"""The files that the ComfyUI registry and ComfyUI-Manager read."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
STARTS_A_PROCESS = {
    ROOT / "gpen_core" / "runners" / "comparing.py",
    ROOT / "gpen_core" / "batch" / "places.py",
}
"""The first runs this pack in a process of its own. The second asks macOS for network drives."""
PACK = [ROOT / "__init__.py", *(ROOT / "nodes").rglob("*.py"), *(ROOT / "gpen_core").rglob("*.py")]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_name_version_and_repository_follow_the_rules_of_the_registry(project):
    facts = project["project"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,98}", facts["name"])
    assert "comfyui" not in facts["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])
    assert facts["description"]
    assert facts["license"]
    assert all((ROOT / name).is_file() for name in facts["license-files"])
    assert urlparse(facts["urls"]["Repository"]).scheme == "https"


def test_comfy_section_is_complete(project):
    comfy = project["tool"]["comfy"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", comfy["PublisherId"])
    assert comfy["DisplayName"]
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])


@pytest.mark.parametrize(("key", "largest", "ratio"), [("Icon", 400, 1), ("Banner", 1600, 21 / 9)])
def test_icon_and_banner_have_the_size_that_the_registry_shows(project, key, largest, ratio):
    url = project["tool"]["comfy"][key]
    repository = urlparse(project["project"]["urls"]["Repository"]).path
    assert urlparse(url).path.startswith(repository)
    with Image.open(ROOT / url.split("/main/", 1)[1]) as picture:
        width, height = picture.size
    assert width <= largest
    assert width / height == pytest.approx(ratio, rel=0.02)


def test_node_list_holds_every_node(nodes):
    names = {cls.GET_SCHEMA().node_id: cls.GET_SCHEMA().display_name for cls in nodes.NODES}
    assert json.loads((ROOT / "node_list.json").read_text(encoding="utf-8")) == names


def test_requirements_do_not_replace_the_hosts_pytorch():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {re.split(r"[<>=;\[ ]", line)[0].lower() for line in lines if line[:1] not in ("", "#")}
    assert names
    assert not names & {"torch", "torchvision", "torchaudio", "xformers", "nvidia"}


def test_the_pack_runs_no_code_from_strings_and_installs_nothing():
    for path in PACK:
        called, imported = read_calls_and_imports(path)
        assert not called & {"eval", "exec", "__import__"}, path
        assert not imported & {"pip", "ensurepip"}, path
        assert "subprocess" not in imported or path in STARTS_A_PROCESS, path


def read_calls_and_imports(path: Path) -> tuple[set[str], set[str]]:
    """Return the names that a file calls, and the packages that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in (
            node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")]
        )
    }
    return called, imported
