"""Model files: the names that nodes offer, stamps that notice a replaced file, and detectors.

Load GPEN and Load Face Detector use all of this. Detect Faces and Restore Image make a detector
when none is connected.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..gpen_core.checkpoints import catalog
from ..gpen_core.detectors import load_detector
from ..gpen_core.detectors.mtcnn_networks import FACENET, find_package_weights
from ..gpen_core.detectors.registry import find_weights
from ..gpen_core.errors import CheckpointError, DetectorError
from ..gpen_core.names import AUTO, DETECTORS, PARSERS
from ..gpen_core.pasting.parsing import find_parser, load_parser
from . import host
from .messages import speaking_to_comfyui

if TYPE_CHECKING:
    from pathlib import Path

    from ..gpen_core.detectors import Detector
    from ..gpen_core.pasting.parsing import LabelParser

BUILTIN = "built-in (256)"
"""The choice that stands for the model in the pack's folder `weights`."""


def list_gpen_files() -> list[str]:
    """List the built-in model, the files in models/gpen, and GPEN files of other packs.

    models/facerestore_models also holds other networks. A file there counts if its name contains
    "gpen" or is the name of a published GPEN.
    """

    def is_gpen(name: str) -> bool:
        entry = catalog.look_up(_strip_folders(name))
        return "gpen" in name.lower() or (entry is not None and entry.kind == "gpen")

    ours, shared = host.GPEN_FOLDERS
    others = [name for name in host.list_model_files((shared,)) if is_gpen(name)]
    return list(dict.fromkeys([BUILTIN, *host.list_model_files((ours,)), *others]))


def list_restorer_files() -> list[str]:
    """List the files of `list_gpen_files` and all others in models/facerestore_models."""
    others = host.list_model_files((host.GPEN_FOLDERS[1],))
    # Only GPEN is read from ONNX.
    others = [name for name in others if not name.lower().endswith(".onnx")]
    return list(dict.fromkeys([*list_gpen_files(), *others]))


def find_gpen(file: str) -> Path:
    """Return the path of a choice of `list_gpen_files` or `list_restorer_files`.

    Raises:
        CheckpointError: there is no such file.
    """
    return catalog.resolve("builtin") if file == BUILTIN else find_file(host.GPEN_FOLDERS, file)


def find_file(folders: tuple[str, ...], file: str) -> Path:
    """Return the path of a file in the model folders of these keys.

    Raises:
        CheckpointError: there is no such file; the message says where it goes.
    """
    path = host.find_model_file(folders, file) if isinstance(file, str) else None
    if path is None:
        raise CheckpointError(explain_missing(folders, file))
    return path


def explain_missing(folders: tuple[str, ...], file: str) -> str:
    """Say where a missing file goes and, if it is a published one, where to get it."""
    if not isinstance(file, str):
        return f"`file` must be the name of a file, found {file!r}. Choose one in the node."
    places = " or ".join(f"`{folder}`" for folder in host.list_model_folders(folders))
    message = f"`{file}` was not found. Put it into {places} and press R."
    entry = catalog.look_up(_strip_folders(file))
    if entry is None:
        return message
    if not entry.url:
        return message
    message += f" It is published at {entry.url} ({entry.licence})"
    published = entry.url.rsplit("/", 1)[-1]
    if published.lower() == _strip_folders(file).lower():
        return f"{message}."
    return f"{message} as `{published}`: keep that name and choose it here, or rename the file."


def stamp_file(path: Path) -> str:
    """Return a text that changes when the file is replaced."""
    facts = path.stat()
    return f"{path} {facts.st_mtime_ns} {facts.st_size}"


def stamp_folders(folders: tuple[str, ...]) -> str:
    """Return a text that changes when any file in these model folders is replaced."""
    paths = (host.find_model_file(folders, name) for name in host.list_model_files(folders))
    return " ".join(stamp_file(path) for path in paths if path)


def stamp_detector(name: str = AUTO) -> str:
    """Return a text that changes when the detector of that name would load another file."""
    folders = host.list_model_folders(host.DETECTOR_FOLDERS)
    names = [n for n in DETECTORS if n != "mtcnn" and name in (AUTO, n)]
    found = (find_weights(n, folders) for n in names)
    return " ".join([name, *(stamp_file(path) for path in found if path)])


def stamp_unconnected_detector(inputs: dict[str, object]) -> str:
    """Fingerprint a node with an optional detector: "" where one is connected."""
    return "" if "detector" in inputs else stamp_detector()


def make_detector(name: str = AUTO, path: Path | None = None) -> Detector:
    """Load a detector on the host's device; without `path`, search the host's folders first.

    Raises:
        DetectorError: its file or a package is missing; the message gives a step in ComfyUI.
        CheckpointError: the file cannot be used.
    """
    folders = host.list_model_folders(host.DETECTOR_FOLDERS)
    if path is None:
        _check_detector_is_there(name, folders)
    with speaking_to_comfyui():
        return load_detector(name, device=host.get_device(), weights=path, folders=folders)


def _check_detector_is_there(name: str, folders: list[Path]) -> None:
    """Raise DetectorError if the named detector, or with "auto" every one, is missing."""
    wanted = DETECTORS if name == AUTO else (name,)
    has_mtcnn = find_package_weights() is not None
    if any(has_mtcnn if n == "mtcnn" else find_weights(n, folders) for n in wanted):
        return
    install = (
        f"`{sys.executable} -m pip install --no-deps {FACENET}` installs the detector mtcnn, which "
        "needs no file; then restart ComfyUI."
    )
    if name == "mtcnn":
        raise DetectorError(f"The detector mtcnn needs the package `facenet-pytorch`. {install}")
    entry = catalog.find(DETECTORS[0] if name == AUTO else _PUBLISHED.get(name, name))
    missing = explain_missing(host.DETECTOR_FOLDERS, entry.file)
    if name != AUTO:
        raise DetectorError(f"{missing} Or choose another detector.")
    raise DetectorError(f"No face detector was found. {missing} Or {install}")


_PUBLISHED = {"yunet": "yunet_2023mar"}
"""The name in the catalogue of the file that a detector needs, where it has another name."""


def make_parser(mask_kind: str) -> LabelParser | None:
    """Load a face parser on the host's device if masks of this kind need one, else return None.

    Raises:
        CheckpointError: no file of a parser is there, or it cannot be used.
    """
    if mask_kind != "parse":
        return None
    file = find_parser(folders=host.list_model_folders(host.DETECTOR_FOLDERS))
    if file is None:
        missing, other = (catalog.find(name).file for name in PARSERS)
        raise CheckpointError(
            f'mask_kind "parse" needs a face parser. '
            f"{explain_missing(host.DETECTOR_FOLDERS, missing)} `{other}` works, too, and is "
            "faster. Or choose the mask_kind box or oval, which need no file."
        )
    with speaking_to_comfyui():
        return load_parser(device=host.get_device(), weights=file)


def stamp_parser(inputs: dict[str, object]) -> str:
    """Fingerprint a node that may use a face parser: "" where its masks need none."""
    if inputs.get("mask_kind", "") not in (None, "parse"):  # None: linked, not known yet
        return ""
    file = find_parser(folders=host.list_model_folders(host.DETECTOR_FOLDERS))
    return "" if file is None else stamp_file(file)


def _strip_folders(name: str) -> str:
    """Return the file's name without subfolders, whichever slash separates them."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]
