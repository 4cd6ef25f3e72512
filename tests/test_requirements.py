"""requirements.txt in a host's environment, and that every version has a lower bound.

Tests that ask the package index run when GPEN_ASK_INDEX is set.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOST = {
    "torch": "2.5.1", "torchvision": "0.20.1", "torchaudio": "2.5.1", "numpy": "1.26.4",
    "pillow": "10.4.0", "safetensors": "0.4.5", "tqdm": "4.66.5", "einops": "0.8.0",
    "kornia": "0.7.4", "scipy": "1.14.1", "transformers": "4.46.0",
}  # fmt: skip
"""Packages that ComfyUI brings, as old as a user may have them."""


def requirement_lines(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_requirements_txt_is_what_pyproject_asks_for_without_pytorch():
    extras = PROJECT["optional-dependencies"]
    asked = [Requirement(line) for line in [*PROJECT["dependencies"], *extras["detect"]]]
    others = {"torch", "torchvision", "opencv-python"}  # the next test is about OpenCV
    wanted = {str(r) for r in asked if r.name not in others}
    found = {str(r) for r in requirement_lines("requirements.txt") if r.name not in others}
    assert found == wanted
    assert {r.name for r in requirement_lines("requirements.txt")} & others == {"opencv-python"}


@pytest.mark.parametrize(("python", "is_held"), [("3.10", True), ("3.12", True), ("3.13", False)])
def test_a_host_may_keep_the_numpy_that_its_python_can_have(python, is_held):
    (asked,) = (Requirement(r) for r in PROJECT["dependencies"] if r.startswith("opencv"))
    listed = [r for r in requirement_lines("requirements.txt") if r.name == "opencv-python"]
    environment = {"python_version": python}
    (found,) = (r for r in listed if r.marker and r.marker.evaluate(environment))
    for version in ("4.8.1.78", "4.9.0.80", "4.11.0.86"):
        assert found.specifier.contains(version) == asked.specifier.contains(version)
    # opencv-python 4.12 and newer ask for numpy 2.
    assert found.specifier.contains("4.12.0.88") != is_held
    assert asked.specifier.contains("4.12.0.88")


def test_every_requirement_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        operators = {specifier.operator for specifier in Requirement(line).specifier}
        assert operators in ({">="}, {"=="}), line


@pytest.fixture(scope="module")
def install(tmp_path_factory):
    """Return a function: what `pip WORDS` would install into a host like ComfyUI's."""
    if not os.environ.get("GPEN_ASK_INDEX"):
        pytest.skip("set GPEN_ASK_INDEX=1 to ask the package index")
    folder = tmp_path_factory.mktemp("host")
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    (site,) = (path.parent for path in folder.rglob("pip") if path.parent.name == "site-packages")

    def run(words: str, **headless: str) -> dict[str, str]:
        present = HOST | headless
        for name, version in present.items():
            made = site / f"{name.replace('-', '_')}-{version}.dist-info"
            made.mkdir(exist_ok=True)
            (made / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
        report = folder / "report.json"
        options = ["--dry-run", "--quiet", "--report", str(report), "--only-binary", ":all:"]
        command = [str(scripts / "python"), "-m", "pip", *shlex.split(words), *options]
        subprocess.run(command, cwd=ROOT, check=True)
        entries = json.loads(report.read_text(encoding="utf-8"))["install"]
        return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in entries}

    return run


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="numpy 1.26 runs on Python 3.12 at most")
def test_the_host_keeps_its_numpy_and_its_pytorch(install):
    found = install("install -r requirements.txt")
    assert {"facexlib", "opencv-python"} <= set(found)
    assert not {"torch", "torchvision", "numpy", "scipy", "kornia", "safetensors"} & set(found)


def test_readme_says_how_a_host_keeps_the_opencv_without_a_desktop(install):
    headless = {"opencv-python-headless": "4.11.0.86"}
    # facexlib asks for opencv-python by name.
    assert "opencv-python" in install("install -r requirements.txt", **headless)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.search(r"`pip (install --no-deps facexlib.*?)`, then `pip (.*?)`", readme)
    assert commands is not None
    found = {}
    for words in commands.groups():
        found |= install(words, **headless)
    assert "facexlib" in found and "facenet-pytorch" in found and "filterpy" in found
    assert not {"opencv-python", "numpy", "torch", "torchvision"} & set(found)
