"""The requirements, the wheel and the pack: complete, consistent, and working once installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKED_EXTRAS = ("detect", "cpu", "heif", "onnx", "video", "upscale", "ray", "demo", "dev")
LEFT_OUT_OF_LOCK = {"opencv-python"}


def requirement_lines(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applies(requirement: Requirement, extra: str = "") -> bool:
    environment = {**default_environment(), "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def everything_needed(requirements: list[Requirement]) -> set[Requirement]:
    """The requirements and, from installed metadata, all that they require here in turn."""
    needed: set[Requirement] = set()
    waiting = [r for r in requirements if applies(r)]
    while waiting:
        requirement = waiting.pop()
        if requirement in needed:
            continue
        needed.add(requirement)
        if canonicalize_name(requirement.name) in LEFT_OUT_OF_LOCK:
            continue
        below = [Requirement(r) for r in metadata.requires(requirement.name) or []]
        extras = ("", *requirement.extras)
        waiting += [r for r in below if any(applies(r, extra) for extra in extras)]
    return needed


def test_the_lock_satisfies_every_requirement():
    lock = {canonicalize_name(r.name): r for r in requirement_lines("constraints.txt")}
    asked = [*PROJECT["dependencies"], *(line for extra in LOCKED_EXTRAS for line in EXTRAS[extra])]
    for requirement in everything_needed([Requirement(line) for line in asked]):
        name = canonicalize_name(requirement.name)
        if name in LEFT_OUT_OF_LOCK:
            continue
        assert name in lock, f"constraints.txt lacks {requirement}"
        (pin,) = lock[name].specifier
        assert pin.operator == "==", f"{lock[name]} is not pinned"
        assert applies(lock[name]), f"{lock[name]} is not installed here"
        assert requirement.specifier.contains(pin.version, prereleases=True), (
            f"constraints.txt pins {lock[name]}, but {requirement} is asked for"
        )


def test_the_lock_holds_no_opencv_that_needs_a_desktop():
    names = {canonicalize_name(r.name) for r in requirement_lines("constraints.txt")}
    assert "opencv-python-headless" in names
    assert not names & {"opencv-python", "opencv-contrib-python"}


def test_facenet_pytorch_is_pinned_wherever_it_is_named_with_a_version():
    # Newer releases cap torch, numpy and pillow at versions that ComfyUI has left behind.
    files = [ROOT / name for name in ("pyproject.toml", "requirements.txt", "constraints.txt")]
    files += [*ROOT.glob("*.md"), *(ROOT / "gpen_core").rglob("*.py"), *ROOT.glob("nodes/*.py")]
    seen = 0
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            installs = "pip install" in line or file.suffix in {".toml", ".txt"}
            for after in re.findall(r"facenet-pytorch([^\s\"'`;,)]*)", line):
                if after or installs:
                    assert after == "==2.5.3", f"{file.name}: {line.strip()}"
                    seen += 1
    assert seen >= 3


def test_the_version_is_the_same_everywhere():
    import gpen_core

    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest, "CHANGELOG.md has no version heading"
    assert gpen_core.__version__ == PROJECT["version"] == newest[1]


def pip(verb: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", verb, "-q", "--no-deps", "--no-index"]
    subprocess.run([*command, *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "-w", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_its_weights_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "gpen_core",
        f"{wheel.name.split('-')[0]}-{PROJECT['version']}.dist-info",
    }
    assert "gpen_core/weights/catalog.toml" in names
    assert "gpen_core/py.typed" in names
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gpen_core").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert tracked <= set(names)


RESTORE_A_FACE = """
import sys, pathlib, torch, skimage.data
import gpen_core as gpen
assert pathlib.Path(gpen.__file__).is_relative_to(sys.argv[1]), gpen.__file__
try:
    import nodes
except ImportError:
    pass
else:
    raise AssertionError(f"the wheel shadows ComfyUI's own module: {nodes}")
torch.set_num_threads(2)
image = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
model = gpen.load_gpen("builtin", device="cpu")
detector = gpen.load_detector("mtcnn", device="cpu")
result = gpen.restore_image(model, detector, image)
inside = result.mask.expand_as(image) > 0
assert result.image.shape == image.shape and 0 <= result.image.min() and result.image.max() <= 1
change = (result.image - image).abs()
print(float(inside.float().mean()), float(change[inside].mean()), float(change[~inside].max()))
"""


def test_an_installed_wheel_restores_a_face_far_from_the_repository(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [
        sys.executable,
        *["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"],
    ]
    subprocess.run([*install, str(site), str(wheel)], check=True)
    # Older versions of kornia use what PyTorch has renamed, and say so in a FutureWarning.
    warnings = ["-W", "error", "-W", "ignore::FutureWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", RESTORE_A_FACE, str(site)],
        cwd=elsewhere,
        env=clean_environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    covered, inside, outside = map(float, done.stdout.split())
    assert 0.02 < covered < 0.5
    assert 0 < inside < 0.2
    assert outside == 0


PACK_BESIDE_AN_OLDER_COPY = """
import asyncio, importlib, importlib.util, pkgutil, sys
from pathlib import Path
import gpen_core
assert gpen_core.__version__ == "0.0.1", gpen_core.__file__
root = Path(sys.argv[1])
sys.path.append(str(root / "tests" / "doubles"))  # the host's modules, as the node tests have them
name = "custom_nodes_gpen"
spec = importlib.util.spec_from_file_location(
    name, root / "__init__.py", submodule_search_locations=[str(root)]
)
pack = importlib.util.module_from_spec(spec)
sys.modules[name] = pack
spec.loader.exec_module(pack)
library = importlib.import_module(f"{name}.gpen_core")
for module in pkgutil.walk_packages(library.__path__, f"{name}.gpen_core."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
for public in library.__all__:
    getattr(library, public)
assert library.__version__ == sys.argv[2]
nodes = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
assert nodes and all(node.__module__.startswith(f"{name}.nodes.") for node in nodes)
old = [m for m in sys.modules if m == "gpen_core" or m.startswith("gpen_core.")]
print(*old)
"""


@pytest.mark.slow
def test_the_pack_uses_its_own_library_beside_an_older_pip_copy(tmp_path):
    old = tmp_path / "gpen_core"
    old.mkdir()
    (old / "__init__.py").write_text('__version__ = "0.0.1"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PACK_BESIDE_AN_OLDER_COPY, str(ROOT), PROJECT["version"]],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["gpen_core"], "the pack imported from the older copy"


def clean_environment(site: Path) -> dict[str, str]:
    """This environment with `site` first on the path, and no user's weights folder."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "GPEN_WEIGHTS"}}
    return {**kept, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
