"""House rules that neither ruff nor pyright can check. docs/architecture.md states them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import gpen_core

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "gpen_core").rglob("*.py"))
NODES = sorted((ROOT / "nodes").rglob("*.py"))
CODE = [*LIBRARY, *NODES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "demo").rglob("*.py")]

MAX_LINES, MAX_TEST_LINES = 300, 400
LONGER_FOR_A_REASON: dict[str, str] = {}

# The storeys, from the ground up. A module may import its own storey and those below it. Every
# module (or folder) directly inside gpen_core has its place here; a new one without a place fails.
STOREYS = (
    ("errors", "names", "printable", "progress", "environment", "lazy"),
    ("settings",),
    ("parallel_tensors",),
    ("cache", "colour", "devices", "faces", "files", "images", "sharpen", "urls"),
    ("warp", "templates", "arch", "media", "select", "preview", "spectra"),
    ("runner", "checkpoints", "runners", "cleanliness"),
    ("detectors", "align", "restore", "pasting", "degradation"),  # the verbs
    ("pipeline", "evaluation", "reports", "video"),
    ("tasks",),
    ("training",),
    ("batch",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
VERBS = ("detectors", "align", "restore", "pasting", "degradation")
VALUES = ("errors", "names", "printable", "progress", "parallel_tensors", "faces")

HOUSE_API = {
    "load_gpen", "load_detector", "read_image", "write_image",
    "detect", "align", "restore", "paste", "restore_image",
    "Faces", "Alignment", "Crops", "GPENError",
}  # fmt: skip


def dotted(path: Path) -> str:
    """The module's name, such as gpen_core.arch.gpen; a package has the name of its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in [*LIBRARY, *NODES]}


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Every name that a file imports anywhere, under TYPE_CHECKING and in functions too.

    Names are absolute: `from ..faces import Crops` gives gpen_core.faces.Crops.
    """
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{stem}.{alias.name}" for alias in node.names]
    return tuple(names)


def absolute_imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
    return names


@cache
def defining_file(name: str) -> Path | None:
    """The file that a name imported from the library comes from.

    A name that a package only hands on is followed to the file that defines it, so that a package's
    `__init__` ties no knot between files which do not know each other.
    """
    if name in MODULES:
        return MODULES[name]
    module, _, attribute = name.rpartition(".")
    path = MODULES.get(module)
    if path is None or path.name != "__init__.py":
        return path
    handed_on = [n for n in imports_of(path) if n.rpartition(".")[2] == attribute and n != name]
    return defining_file(handed_on[0]) if handed_on else path


def files_imported(path: Path) -> set[Path]:
    """The library's files that a file imports, itself left out."""
    found = {defining_file(name) for name in imports_of(path)}
    return {file for file in found if file is not None and file != path}


def room(path: Path) -> str:
    """The module or folder directly inside gpen_core that holds a file."""
    return path.relative_to(ROOT / "gpen_core").with_suffix("").parts[0]


def python(code: str) -> str:
    """Run `code` in a fresh interpreter started in the repository; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_imports_inside_the_pack_are_relative():
    # ComfyUI knows the pack by its folder. An absolute import would find a stale copy that pip
    # installed or, for `nodes`, the host's own module.
    own = {"gpen_core", "nodes"}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*LIBRARY, *NODES]
        for name in absolute_imports(path)
        if name.split(".")[0] in own
    }
    assert not found


def test_the_library_never_imports_its_host():
    host = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "server", "execution"}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in LIBRARY
        for name in imports_of(path)
        if name.split(".")[0] in host
    }
    assert not found


def test_only_host_py_touches_comfy_and_folder_paths():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in NODES
        for name in absolute_imports(path)
        if path.name != "host.py" and name.split(".")[0] in {"comfy", "folder_paths"}
    }
    assert not found


def test_every_module_has_its_place_in_one_storey():
    rooms = {room(path) for path in LIBRARY} - {"__init__"}
    placed = [name for storey in STOREYS for name in storey]
    assert sorted(placed) == sorted(rooms)


def test_the_map_names_every_file_and_folder():
    map_ = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", map_))
    rooms = {room(path) for path in LIBRARY} | {path.stem for path in NODES} - {"__init__"}
    assert not rooms - words


def test_imports_point_down():
    height = {name: level for level, storey in enumerate(STOREYS) for name in storey}
    for path in LIBRARY:
        if room(path) == "__init__":
            continue  # the public names, of every storey
        for other in files_imported(path):
            if room(other) != "__init__":
                assert height[room(other)] <= height[room(path)], f"{path} imports {other}"


def test_values_import_nothing_but_values():
    for path in LIBRARY:
        if room(path) in VALUES:
            assert {room(other) for other in files_imported(path)} <= set(VALUES), path


def test_verbs_do_not_import_each_other():
    for path in LIBRARY:
        if room(path) in VERBS:
            others = {room(other) for other in files_imported(path)} & set(VERBS)
            assert others <= {room(path)}, f"{path} imports {others}"


@pytest.mark.parametrize("folder", ["gpen_core", "nodes"])
def test_no_two_files_import_each_other_in_a_circle(folder):
    files = LIBRARY if folder == "gpen_core" else NODES
    below = {p: files_imported(p) & set(files) for p in files if p != ROOT / folder / "__init__.py"}
    while below:
        free = [path for path, imported in below.items() if not imported & set(below)]
        circle = sorted(str(path.relative_to(ROOT)) for path in below)
        assert free, f"among these files is a circle: {circle}"
        for path in free:
            del below[path]


def test_importing_the_library_imports_nothing_heavy():
    loaded = python("import gpen_core, sys; print(*sys.modules)").split()
    assert not {"torch", "numpy", "cv2", "kornia", "PIL", "torchvision"} & set(loaded)


def test_importing_the_command_line_imports_no_torch():
    assert "torch" not in python("import gpen_core.cli, sys; print(*sys.modules)").split()


def test_the_public_names_are_those_of_the_house():
    assert set(gpen_core.__all__) >= HOUSE_API


def test_every_error_kind_is_public():
    kinds = {
        name
        for name, value in vars(importlib.import_module("gpen_core.errors")).items()
        if isinstance(value, type) and issubclass(value, gpen_core.GPENError)
    }
    assert kinds <= set(gpen_core.__all__)


@pytest.mark.parametrize("name", gpen_core.__all__)
def test_public_name_resolves_and_has_a_docstring(name):
    value = getattr(gpen_core, name)
    assert inspect.getdoc(value), f"gpen_core.{name} has no docstring"
    assert name in dir(gpen_core)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'restore_film'"):
        _ = gpen_core.restore_film


def test_no_file_is_longer_than_one_can_hold_in_mind():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in CODE
    }
    longer = {
        f"{name} has {lines} lines"
        for name, lines in lengths.items()
        for limit in [MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES]
        if (lines > limit) != (name in LONGER_FOR_A_REASON)
    }
    assert not longer


def test_names_say_what_a_module_is():
    vague = re.compile(r"util|helper|manager|process(?!ing)|common|misc")
    assert not [path for path in [*LIBRARY, *NODES] if vague.search(path.stem)]


def test_tests_stand_in_the_folder_of_what_they_test():
    folders = {p.parent.relative_to(ROOT / "tests") for p in (ROOT / "tests").rglob("test_*.py")}
    known = {p.parent.relative_to(ROOT / "gpen_core") for p in LIBRARY}
    assert folders - known <= {Path("nodes"), Path("comfyui"), Path("hostile")}


def test_every_module_can_be_imported():
    for path in LIBRARY:
        if path.name != "__main__.py":  # importing it runs the command line
            importlib.import_module(dotted(path))
