"""Load a GPEN, load a face detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..gpen_core.errors import CheckpointError
from ..gpen_core.names import AUTO, DETECTORS, DTYPES
from . import host
from .sockets import CATEGORY, GPENDetector, GPENModel

if TYPE_CHECKING:
    from pathlib import Path

    from ..gpen_core.detectors import Detector

BUILTIN = "built-in (256)"
NO_FILE = "none"


class LoadGPEN(io.ComfyNode):
    """Load a GPEN of any size; its sizes are read from the file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadGPEN",
            display_name="Load GPEN",
            category=CATEGORY,
            description="Loads a GPEN face restoration model of any size: the one that comes with "
            "the pack, or a file from models/gpen or models/facerestore_models.",
            search_aliases=["gpen", "face restore model", "load face restore model"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=gpen_choices(),
                    default=BUILTIN,
                    tooltip="The model. Put GPEN-BFR-256/512/1024/2048 files (.pth, .pt or "
                    ".safetensors) into models/gpen and press R; they appear without a restart.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *DTYPES],
                    default=AUTO,
                    advanced=True,
                    tooltip="Number format of the network. auto: fp16 where the device is fast "
                    "at it, fp32 on a CPU.",
                ),
            ],
            outputs=[
                GPENModel.Output("model", tooltip="For Restore Faces, Restore Image and, to take "
                                 "the crop size from it, Detect Faces."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        # In place of the host's own check, which says "value not in list" and no more. What a link
        # will bring is not known yet and comes as None.
        if file in (None, BUILTIN) or host.model_path(host.GPEN_FOLDERS, file):
            return True
        return _missing_message(host.GPEN_FOLDERS, file)

    @classmethod
    def fingerprint_inputs(cls, file: str | None, dtype: str | None) -> str:
        if file is None:  # linked: it may be any
            return f"{_stamps(host.GPEN_FOLDERS)} {dtype}"
        path = _gpen_path(file)
        return f"{path if file == BUILTIN else _stamp(path)} {dtype}"

    @classmethod
    def execute(cls, file: str, dtype: str) -> io.NodeOutput:
        from ..gpen_core.checkpoints.loading import load_gpen
        from ..gpen_core.devices import resolve_dtype

        device = host.device()
        chosen = resolve_dtype(host.best_dtype(device) if dtype == AUTO else dtype, device)
        # On the CPU first: the host decides when the weights go to the device.
        network = load_gpen(_gpen_path(file), device="cpu", dtype="fp32").set_dtype(chosen)
        return io.NodeOutput(host.HostedGPEN(network))


class LoadFaceDetector(io.ComfyNode):
    """Choose the face detector, and its weights where it needs a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadGPENFaceDetector",
            display_name="Load Face Detector (GPEN)",
            category=CATEGORY,
            description="Chooses how faces are found. Without this node the detector is chosen "
            "automatically.",
            search_aliases=["face detector", "retinaface", "yunet", "mtcnn", "face detection"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=[AUTO, *DETECTORS],
                    default=AUTO,
                    tooltip="mtcnn needs no file. retinaface_resnet50 finds most faces; it, "
                    "retinaface_mobile0.25 and yunet need a file. auto: the best that is here, or "
                    "the one that the chosen file holds.",
                ),
                io.Combo.Input(
                    "file",
                    options=[NO_FILE, *host.model_files(host.DETECTOR_FOLDERS)],
                    default=NO_FILE,
                    tooltip="Weights, from models/facedetection or models/detection, for detectors "
                    "that need some: detection_Resnet50_Final.pth, "
                    "detection_mobilenet0.25_Final.pth, face_detection_yunet_2023mar.onnx. none: "
                    "look for them by their published names.",
                ),
            ],
            outputs=[
                GPENDetector.Output("detector", tooltip="For Detect Faces and Restore Image."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        if file in (None, NO_FILE) or host.model_path(host.DETECTOR_FOLDERS, file):
            return True
        return _missing_message(host.DETECTOR_FOLDERS, file)

    @classmethod
    def fingerprint_inputs(cls, detector: str | None, file: str | None) -> str:
        if file is None:  # linked: it may be any
            return f"{stamp_detector(detector or AUTO)} {_stamps(host.DETECTOR_FOLDERS)}"
        if file == NO_FILE:
            return stamp_detector(detector or AUTO)
        path = host.model_path(host.DETECTOR_FOLDERS, file)
        return f"{detector} {_stamp(path) if path else ''}"

    @classmethod
    def execute(cls, detector: str, file: str) -> io.NodeOutput:
        path = None if file == NO_FILE else _path(host.DETECTOR_FOLDERS, file)
        return io.NodeOutput(make_detector(detector, path))


def gpen_choices() -> list[str]:
    """What the file widget offers: the built-in model, files for GPEN, GPEN files of other packs.

    models/facerestore_models holds other networks too, so only names with "gpen" and published ones
    count there.
    """
    from ..gpen_core.checkpoints import catalog

    def is_gpen(name: str) -> bool:
        entry = catalog.look_up(_file_name(name))
        return "gpen" in name.lower() or (entry is not None and entry.kind == "gpen")

    own, shared = host.GPEN_FOLDERS
    other = [name for name in host.model_files((shared,)) if is_gpen(name)]
    files = [BUILTIN, *host.model_files((own,)), *other]
    # Other packs keep GPEN there as ONNX, which is no checkpoint.
    return list(dict.fromkeys(name for name in files if not name.lower().endswith(".onnx")))


def stamp_detector(name: str = AUTO) -> str:
    """Changes when another file would be loaded for the detector of that name."""
    from ..gpen_core.detectors.registry import find_weights

    folders = host.model_folders(host.DETECTOR_FOLDERS)
    names = [n for n in DETECTORS if n != "mtcnn" and name in (AUTO, n)]
    found = (find_weights(n, folders) for n in names)
    return " ".join([name, *(_stamp(path) for path in found if path)])


def stamp_if_automatic(inputs: dict[str, object]) -> str:
    """The fingerprint of a node that chooses its detector itself when none is connected."""
    return "" if "detector" in inputs else stamp_detector()


def make_detector(name: str = AUTO, path: Path | None = None) -> Detector:
    """The detector of that name, on the host's device, its weights from the host's folders too."""
    from ..gpen_core.detectors import load_detector

    folders = host.model_folders(host.DETECTOR_FOLDERS)
    return load_detector(name, device=host.device(), weights=path, folders=folders)


def _gpen_path(file: str) -> Path:
    from ..gpen_core.checkpoints import catalog

    return catalog.resolve("builtin") if file == BUILTIN else _path(host.GPEN_FOLDERS, file)


def _path(folders: tuple[str, ...], file: str) -> Path:
    path = host.model_path(folders, file) if isinstance(file, str) else None
    if path is None:
        raise CheckpointError(_missing_message(folders, file))
    return path


def _missing_message(folders: tuple[str, ...], file: str) -> str:
    """Where a file that is not here belongs and, if it is known, where it is published."""
    from ..gpen_core.checkpoints import catalog

    if not isinstance(file, str):
        return f"`file` is the name of a file, found {file!r}. Choose one in the node."
    here = " or ".join(f"`{folder}`" for folder in host.model_folders(folders))
    message = f"`{file}` is not here. Put it into {here} and press R."
    known = catalog.look_up(_file_name(file))
    if known is None:
        return message
    return f"{message} It is published at {known.url} ({known.licence})."


def _file_name(name: str) -> str:
    """Without the folders, in the way of either system."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _stamps(folders: tuple[str, ...]) -> str:
    """Changes when one of the files in these model folders is replaced."""
    paths = (host.model_path(folders, name) for name in host.model_files(folders))
    return " ".join(_stamp(path) for path in paths if path)


def _stamp(path: Path) -> str:
    """Changes when the file is replaced."""
    facts = path.stat()
    return f"{path} {facts.st_mtime_ns} {facts.st_size}"
