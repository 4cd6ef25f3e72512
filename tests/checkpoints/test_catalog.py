from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gpen_core.arch import GPEN
from gpen_core.checkpoints import catalog, download
from gpen_core.checkpoints.loading import load_gpen
from gpen_core.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]
ONNX_NAMED = tuple(f"gpen_bfr_{size}" for size in (256, 512, 1024, 2048))
NAMED = ("GPEN-BFR-256", "GPEN-BFR-512", "GPEN-BFR-1024", "GPEN-BFR-2048")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$GPEN_WEIGHTS`; the real folders of the user are hidden."""
    folder = tmp_path / "重み"
    folder.mkdir()
    monkeypatch.setenv("GPEN_WEIGHTS", str(folder))
    monkeypatch.delenv("GPEN_CACHE", raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return folder


def test_every_entry_is_complete() -> None:
    for entry in catalog.entries():
        assert entry.kind in ("gpen", "detector", "parser")
        assert entry.name
        assert entry.about
        assert entry.licence
        assert entry.folder in ("gpen", "facerestore_models", "facedetection")
        has_no_url = entry.name == "builtin" or entry.file.endswith(".onnx")
        assert entry.url.startswith("https://") or has_no_url
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert (entry.sha256 is None) == (entry.bytes is None)


def test_no_two_entries_share_a_name_or_a_file() -> None:
    known = [key.lower() for e in catalog.entries() for key in dict.fromkeys([e.name, *e.files])]
    assert len(known) == len(set(known))


def test_only_published_hashes_are_pinned() -> None:
    pinned = {entry.name for entry in catalog.entries() if entry.kind == "gpen" and entry.sha256}
    assert pinned == {"GPEN-BFR-512", *ONNX_NAMED}


def test_entries_state_a_non_commercial_licence() -> None:
    for name in (*NAMED, *ONNX_NAMED):
        assert "non-commercial" in catalog.find(name).licence


@pytest.mark.parametrize(
    "spelling",
    ["GPEN-BFR-2048", "gpen-bfr-2048", "GPEN-BFR-2048.pth", "GPEN-BFR-2048.safetensors",
     "pytorch_model-2048.pt", "pytorch_model-2048"],
)  # fmt: skip
def test_an_entry_is_found_under_each_of_its_names(spelling: str) -> None:
    assert catalog.find(spelling).file == "GPEN-BFR-2048.pth"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"'GPEN-BFR-4096'.*GPEN-BFR-2048.*by its path"):
        catalog.find("GPEN-BFR-4096")


def test_a_published_file_is_recognised_by_its_hash() -> None:
    entry = catalog.find("GPEN-BFR-512")
    assert entry.sha256 is not None
    assert catalog.recognise(entry.sha256.upper()) == entry
    assert catalog.recognise("0" * 64) is None


@pytest.mark.weights
@pytest.mark.parametrize("name", ["retinaface_mobile0.25", "yunet_n_dynamic"])
def test_shared_detectors_have_the_listed_size_and_hash(name: str, shared: Path) -> None:
    entry = catalog.find(name)
    content = (shared / "weights" / entry.file).read_bytes()
    assert len(content) == entry.bytes
    assert hashlib.sha256(content).hexdigest() == entry.sha256


def test_the_catalogue_is_read_without_pytorch() -> None:
    code = (
        "import sys; from gpen_core.checkpoints import catalog; catalog.find('builtin'); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.split()


def test_an_installed_package_has_its_weights_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "gpen_core"
    package.mkdir(parents=True)
    monkeypatch.setattr(catalog, "__file__", str(package / "checkpoints" / "catalog.py"))
    assert catalog.weights_folder() == tmp_path / "site-packages" / "weights"
    (package / "weights").mkdir()
    assert catalog.weights_folder() == package / "weights"


def test_folders_are_searched_in_order(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, chosen, cache = catalog.search_folders()
    assert (package / "catalog.toml").is_file()
    assert chosen == catalog.download_folder() == elsewhere
    monkeypatch.delenv("GPEN_WEIGHTS")
    assert catalog.search_folders() == (package, cache)
    assert catalog.download_folder() == cache
    assert cache.name == "gpen"


def test_a_named_file_is_located_in_any_case_and_a_converted_copy_first(elsewhere: Path) -> None:
    assert catalog.locate("GPEN-BFR-512") is None
    (elsewhere / "gpen-bfr-512.PTH").touch()
    assert catalog.locate("GPEN-BFR-512") == elsewhere / "gpen-bfr-512.PTH"
    (elsewhere / "GPEN-BFR-512.safetensors").touch()
    assert catalog.locate("GPEN-BFR-512") == elsewhere / "GPEN-BFR-512.safetensors"
    (elsewhere / "pytorch_model-2048.pt").touch()
    assert catalog.locate("GPEN-BFR-2048") == elsewhere / "pytorch_model-2048.pt"


def test_load_gpen_finds_a_named_file(elsewhere: Path, tiny_gpen: GPEN) -> None:
    torch.save(tiny_gpen.state_dict(), elsewhere / "GPEN-BFR-256.pth")
    assert load_gpen("GPEN-BFR-256", device="cpu").config == tiny_gpen.config


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", NAMED)
def test_the_error_for_a_missing_file_says_where_to_get_and_put_it(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_gpen(name, device="cpu")
    message = str(caught.value)
    entry = catalog.find(name)
    for part in (entry.file, entry.url, "non-commercial", "models/facerestore_models",
                 f"gpen download {name}", *map(str, catalog.search_folders())):  # fmt: skip
        assert part in message
    assert entry.bytes is None or f"{entry.bytes:,} bytes" in message


@pytest.mark.usefixtures("elsewhere")
def test_sources_are_names_or_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    (tmp_path / "GPEN-BFR-1024.pth").touch()
    assert catalog.resolve("mine") == Path("mine")
    assert catalog.resolve("GPEN-BFR-1024.pth") == Path("GPEN-BFR-1024.pth")
    assert catalog.resolve(Path("GPEN-BFR-512")) == Path("GPEN-BFR-512")
    assert catalog.resolve("folder/none") == Path("folder/none")
    assert catalog.resolve("none.pth") == Path("none.pth")
    with pytest.raises(CheckpointError, match=r"`GPEN-BFR-512\.pth`.*was not found"):
        catalog.resolve("GPEN-BFR-512.pth")
    with pytest.raises(CheckpointError, match="No weights are called 'none'"):
        catalog.resolve("none")


def test_unreadable_folders_are_skipped(elsewhere: Path, monkeypatch):
    def refuse(path: Path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert catalog.locate("gpen-bfr-512", [elsewhere]) is None
    assert catalog.resolve("x" * 300 + "/y.pth").name == "y.pth"


def test_the_built_in_model_is_not_downloaded_into_a_folder(tmp_path: Path):
    assert catalog.download("builtin").is_file()
    with pytest.raises(CheckpointError, match="comes with this package"):
        catalog.download("builtin", tmp_path)


def test_a_missing_built_in_model_asks_for_a_new_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "search_folders", lambda: (tmp_path,))
    with pytest.raises(CheckpointError, match=r"comes with this package.*Install the package"):
        load_gpen("builtin", device="cpu")
    with pytest.raises(CheckpointError, match="comes with this package"):
        catalog.download("builtin")


def test_download_fetches_a_named_file_and_verifies_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def fetch(url: str, target: Path, **options: Any) -> None:
        assert callable(options.pop("check"))  # test_accepting says what it accepts
        calls.append((url, target, options))

    monkeypatch.setattr(download, "fetch", fetch)
    entry = catalog.find("GPEN-BFR-512")
    options = {"size": entry.bytes, "expected": entry.sha256, "on_progress": print}
    target = elsewhere / entry.file
    assert catalog.download("gpen-bfr-512", on_progress=print) == target
    other = elsewhere / "other" / entry.file
    assert catalog.download("GPEN-BFR-512", elsewhere / "other", on_progress=print) == other
    assert calls == [(entry.url, target, options), (entry.url, other, options)]
    with pytest.raises(CheckpointError, match="No weights are called 'yours'"):
        catalog.download("yours")


def test_given_folders_are_searched_first(tmp_path: Path) -> None:
    assert catalog.locate("retinaface_resnet50", [tmp_path / "absent", tmp_path]) is None
    file = tmp_path / "detection_Resnet50_Final.pth"
    file.touch()
    assert catalog.locate("retinaface_resnet50", [tmp_path / "absent", tmp_path]) == file


def test_an_onnx_file_without_an_address_is_known_by_its_hash(elsewhere: Path) -> None:
    entry = catalog.find("gpen_bfr_512.onnx")
    assert entry.pixels == 512 and catalog.recognise(entry.sha256 or "") == entry
    with pytest.raises(CheckpointError, match="We know no address where it is published"):
        catalog.resolve("gpen_bfr_512")
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        catalog.download("gpen_bfr_512", elsewhere)
    (elsewhere / "gpen_bfr_512.onnx").touch()
    assert catalog.resolve("gpen_bfr_512") == elsewhere / "gpen_bfr_512.onnx"
