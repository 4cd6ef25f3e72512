"""Detectors by name, the files they need, and which one "auto" means."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints import catalog
from ..devices import resolve_device
from ..errors import DetectorError
from ..names import DETECTORS
from .mtcnn import FACENET, MTCNN
from .retinaface import RetinaFace, read_weights
from .yunet import YuNet, loads_dynamic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .protocol import Detector

# Why `DETECTORS` has its order, in which "auto" prefers them. RetinaFace with a ResNet-50 is the
# most accurate as published (WIDER FACE); it was not measured here. `benchmarks/detectors.py`
# measured the others on 1,312 faces that none was tuned on. At 256 px the small RetinaFace finds
# all, MTCNN misses 4 old prints. At 64 px MTCNN misses 4 and the small RetinaFace 25, and MTCNN's
# landmarks, which decide where a face is cut, are twice as steady. YuNet finds as many; its
# landmarks are the least steady.


def load_detector(
    name: str = "auto",
    *,
    device: str | torch.device = "auto",
    weights: str | Path | None = None,
    folders: Sequence[Path] = (),
) -> Detector:
    """A face detector, ready to run.

    Args:
        name: one of `DETECTORS`, or "auto": with `weights` the detector that the file is for,
            without it the first of `DETECTORS` whose weights are here.
        device: where its network computes; "yunet" always computes on the CPU.
        weights: its file. If None it is looked for in `folders` and in the catalogue's; "mtcnn"
            takes none.
        folders: looked into before the catalogue's.

    Raises:
        DetectorError: the name is unknown, the file is for another detector, a package or the
            weights are missing.
        CheckpointError: the file cannot be read.
        DeviceError: the device is not here.
    """
    if name not in ("auto", *DETECTORS):
        raise DetectorError(f"Unknown detector {name!r}; use auto, {', '.join(DETECTORS)}.")
    if name == "mtcnn":
        if weights is not None:
            raise DetectorError(
                f'Detector "mtcnn" takes no weights (found {weights}): facenet-pytorch carries '
                'them. Leave weights out, or use name="auto" for the detector of that file.'
            )
        return MTCNN(resolve_device(device))
    if weights is not None:
        return _load_file(name, Path(weights), device)
    for candidate in DETECTORS if name == "auto" else (name,):
        if candidate == "mtcnn":
            if importlib.util.find_spec("facenet_pytorch") is not None:
                return MTCNN(resolve_device(device))
        elif (file := find_weights(candidate, folders)) is not None:
            return _load_file(candidate, file, device)
    raise DetectorError(_missing_message(name, folders))


def find_weights(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """The file of a detector in `folders` or the catalogue's, or None if it is not here."""
    located = (catalog.locate(entry, folders) for entry in _catalogue_names(name))
    return next((file for file in located if file is not None), None)


def _catalogue_names(name: str) -> tuple[str, ...]:
    """What the catalogue calls a detector's files that can be loaded here, best first."""
    if name != "yunet":
        return (name,)
    return ("yunet_n_dynamic", "yunet_2023mar") if loads_dynamic() else ("yunet_2023mar",)


def _load_file(name: str, file: Path, device: str | torch.device) -> Detector:
    if file.suffix.lower() == ".onnx":
        if name not in ("auto", "yunet"):
            raise DetectorError(
                f"`{file}` is an ONNX file, as YuNet's are; {name} needs a .pth or .safetensors "
                'file. Use name="auto" for the detector of that file.'
            )
        return YuNet(file)
    if name == "yunet":
        raise DetectorError(f'Detector "yunet" needs an .onnx file; found `{file}`.')
    kind, state_dict = read_weights(file)
    if name not in ("auto", kind):
        raise DetectorError(
            f"`{file}` holds the weights of {kind}; {name} was asked for. Use name={kind!r} or "
            '"auto".'
        )
    return RetinaFace(kind, state_dict, resolve_device(device), str(file))


def _missing_message(name: str, folders: Sequence[Path]) -> str:
    if name == "auto":
        searched = (*folders, *catalog.search_folders())
        return (
            "No face detector is here. Either install one that needs no file (pip install "
            f"{FACENET}), or fetch one: gpen download retinaface_resnet50. "
            f"Files are looked for in {', '.join(map(str, searched))}."
        )
    return catalog.explain_missing(catalog.find(_catalogue_names(name)[0]))
