"""Load a detector by its name, find its weights, and decide which detector "auto" means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints import catalog
from ..devices import resolve_device
from ..errors import DetectorError
from ..names import AUTO, DETECTORS
from .mtcnn import MTCNN
from .mtcnn_networks import FACENET, find_package_weights
from .retinaface import RetinaFace, read_weights
from .yunet import YuNet, can_load_dynamic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .protocol import Detector

# Why "auto" prefers the detectors in the order of `DETECTORS`: RetinaFace with a ResNet-50 is the
# most accurate according to its publication (WIDER FACE); we did not measure it.
# `benchmarks/detectors.py` measured the others on 1,312 faces on which none was tuned. At 256 px
# the small RetinaFace finds all faces, and MTCNN misses 4 old prints. At 64 px MTCNN misses 4 and
# the small RetinaFace 25, and MTCNN's landmarks, which decide where a face is cut, are twice as
# steady. YuNet finds as many faces; its landmarks are the least steady.


def load_detector(
    name: str = AUTO,
    *,
    device: str | torch.device = "auto",
    weights: str | Path | None = None,
    folders: Sequence[Path] = (),
) -> Detector:
    """Load a face detector for `detect` and `restore_image`.

    Args:
        name: "retinaface_resnet50", "retinaface_mobile0.25", "mtcnn", "yunet" or "auto". With
            `weights`, "auto" means the detector that this file is for; without, the first of these
            names whose weights are found.
        device: the device of the network: "auto", "cpu", "cuda", "cuda:1", "mps" or a
            `torch.device`. "yunet" always runs on the CPU.
        weights: the detector's file. If None, it is searched for in `folders`, this package,
            `$GPEN_WEIGHTS` and the user's cache. "mtcnn" takes no file.
        folders: folders to search first.

    Returns:
        The detector, see `gpen_core.detectors.Detector`.

    Raises:
        DetectorError: the name is unknown, the file is for another detector, or a package or the
            weights are missing.
        CheckpointError: the file cannot be read.
        DeviceError: the device is unknown or not available.

    Example:
        >>> import gpen_core as gpen
        >>> detector = gpen.load_detector("auto", device="cpu")
        >>> detector.device
        device(type='cpu')
    """
    if name not in (AUTO, *DETECTORS):
        raise DetectorError(f"Unknown detector {name!r}; use {AUTO}, {', '.join(DETECTORS)}.")
    if name == "mtcnn":
        if weights is not None:
            raise DetectorError(
                f'Detector "mtcnn" takes no weights (found {weights}): facenet-pytorch contains '
                'them. Leave weights out, or use name="auto" for the detector of that file.'
            )
        return MTCNN(resolve_device(device))
    if weights is not None:
        return _load_file(name, Path(weights), device)
    found, file = find_detector(name, folders)
    return MTCNN(resolve_device(device)) if file is None else _load_file(found, file, device)


def find_detector(name: str = AUTO, folders: Sequence[Path] = ()) -> tuple[str, Path | None]:
    """Find the detector that a name means, and its file; mtcnn has none.

    Raises:
        DetectorError: its file or package is missing; of "auto", all are.
    """
    for candidate in DETECTORS if name == AUTO else (name,):
        if candidate == "mtcnn":
            if find_package_weights() is not None:
                return candidate, None
        elif (file := find_weights(candidate, folders)) is not None:
            return candidate, file
    raise DetectorError(_explain_missing(name, folders))


def find_weights(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """Find the file of a detector in `folders` or those of the catalogue, or return None."""
    located = (catalog.locate(entry, folders) for entry in _list_entries(name))
    return next((file for file in located if file is not None), None)


def _list_entries(name: str) -> tuple[str, ...]:
    """List the catalogue's names of a detector's files that can be loaded, best first."""
    if name != "yunet":
        return (name,)
    return ("yunet_n_dynamic", "yunet_2023mar") if can_load_dynamic() else ("yunet_2023mar",)


def _load_file(name: str, file: Path, device: str | torch.device) -> Detector:
    if file.suffix.lower() == ".onnx":
        if name not in (AUTO, "yunet"):
            raise DetectorError(
                f"`{file}` is an ONNX file, which only yunet takes; {name} needs a .pth or "
                '.safetensors file. Use name="auto" for the detector of that file.'
            )
        return YuNet(file)
    if name == "yunet":
        raise DetectorError(f'Detector "yunet" needs an .onnx file; found `{file}`.')
    kind, state_dict = read_weights(file)
    if name not in (AUTO, kind):
        raise DetectorError(
            f'`{file}` holds the weights of {kind}, not of {name}. Use name="{kind}" or "auto".'
        )
    return RetinaFace(kind, state_dict, resolve_device(device), str(file))


def _explain_missing(name: str, folders: Sequence[Path]) -> str:
    if name == AUTO:
        searched = (*folders, *catalog.search_folders())
        return (
            "No face detector was found. Either install one that needs no file (pip install "
            f"{FACENET}), or download one: gpen download retinaface_resnet50. "
            f"These folders were searched: {', '.join(map(str, searched))}."
        )
    return catalog.explain_missing(catalog.find(_list_entries(name)[0]))
