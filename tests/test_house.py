"""The house rules that neither ruff nor pyright can check."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_core

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "gpen_core").rglob("*.py"))
NODES = sorted((ROOT / "nodes").rglob("*.py"))
CODE = [*LIBRARY, *NODES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "demo").rglob("*.py")]

MAX_LINES, MAX_TEST_LINES = 300, 400
LONGER_FOR_A_REASON: dict[str, str] = {}

VALUES = {"errors", "faces"}
VERBS = {"detectors", "align", "restore", "paste"}
BELOW_VERBS = {"arch", "catalog", "checkpoint", "devices", "files", "media", "state_dicts", "warp"}
DOORS = {"bench", "cli", "commands", "pipeline", "training"}

HOUSE_API = {
    "load_gpen", "load_detector", "read_image", "write_image",
    "detect", "align", "restore", "paste", "restore_image",
    "Faces", "Alignment", "Crops", "GPENError",
}  # fmt: skip


def imported_modules(path: Path) -> list[str]:
    """Absolute dotted names that a file imports anywhere, relative ones resolved."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{stem}.{alias.name}" for alias in node.names]
    return names


def absolute_imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
    return names


def library_modules_imported(path: Path) -> set[str]:
    """The modules (or sub-packages) of the library that a library file imports."""
    own = {p.stem if p.name != "__init__.py" else p.parent.name for p in LIBRARY}
    parts = [name.split(".") for name in imported_modules(path)]
    return {p[1] for p in parts if p[0] == "gpen_core" and len(p) > 1 and p[1] in own}


def home(path: Path) -> str:
    return path.relative_to(ROOT / "gpen_core").with_suffix("").parts[0]


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter started in the repository."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", [*LIBRARY, *NODES], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_inside_the_pack_are_relative(path):
    # ComfyUI knows the pack by its folder; an absolute import would find a stale pip copy, or for
    # `nodes` the host's own module.
    own = {"gpen_core", "nodes"}
    assert not [name for name in absolute_imports(path) if name.split(".")[0] in own]


def test_the_library_never_imports_its_host():
    host = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "server", "execution"}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in LIBRARY
        for name in imported_modules(path)
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


def test_verbs_do_not_import_each_other():
    for path in LIBRARY:
        if home(path) in VERBS:
            others = library_modules_imported(path) & (VERBS - {home(path)})
            assert not others, f"{path.name} imports {others}"


def test_imports_point_down():
    for path in LIBRARY:
        name, imported = home(path), library_modules_imported(path)
        if name in VALUES:
            assert imported <= VALUES, f"{name} imports {imported - VALUES}"
        if name in BELOW_VERBS:
            assert not imported & VERBS, f"{name} imports {imported & VERBS}"
        if name not in DOORS | {"__main__"}:
            assert not imported & DOORS, f"{name} imports {imported & DOORS}"


def test_modules_import_each_other_in_no_circle():
    waiting: dict[str, set[str]] = {}
    for path in LIBRARY:
        below = waiting.setdefault(home(path), set())
        below |= library_modules_imported(path) - {home(path)}
    assert VALUES | VERBS | BELOW_VERBS <= set(waiting)
    while waiting:
        free = {name for name, below in waiting.items() if not below & set(waiting)}
        assert free, f"import each other: {waiting}"
        waiting = {name: below for name, below in waiting.items() if name not in free}


def test_importing_the_library_imports_nothing_heavy():
    loaded = python("import gpen_core, sys; print(*sys.modules)").split()
    assert not {"torch", "numpy", "cv2", "kornia", "PIL", "torchvision"} & set(loaded)


def test_importing_the_command_line_imports_no_torch():
    assert "torch" not in python("import gpen_core.cli, sys; print(*sys.modules)").split()


def test_the_public_names_are_those_of_the_house():
    assert set(gpen_core.__all__) >= HOUSE_API


@pytest.mark.parametrize("name", gpen_core.__all__)
def test_public_name_resolves_and_has_a_docstring(name):
    value = getattr(gpen_core, name)
    assert inspect.getdoc(value), f"gpen_core.{name} has no docstring"
    assert name in dir(gpen_core)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'restore_video'"):
        _ = gpen_core.restore_video


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_one_can_hold_in_mind(path):
    name = path.relative_to(ROOT).as_posix()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES
    assert (lines > limit) == (name in LONGER_FOR_A_REASON), f"{name} has {lines} lines"


def test_names_say_what_a_module_is():
    vague = re.compile(r"util|helper|manager|process(?!ing)|common|misc")
    assert not [path for path in [*LIBRARY, *NODES] if vague.search(path.stem)]


def test_every_module_can_be_imported():
    for path in LIBRARY:
        if path.name == "__main__.py":
            continue  # importing it runs the command line
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        importlib.import_module(dotted.removesuffix(".__init__"))
