"""Load a GPEN, another face restorer, a face detector."""

from __future__ import annotations

from functools import partial

import torch
from comfy_api.latest import io

from ..gpen_core.checkpoints.engines import SlowGraph, choose_engine
from ..gpen_core.checkpoints.loading import read_checkpoint
from ..gpen_core.devices import resolve_dtype
from ..gpen_core.names import AUTO, DETECTORS, DTYPES, ENGINES
from ..gpen_core.runners.face_restorer import FaceRestorer
from ..gpen_core.runners.spandrel import FIDELITY, load_face_restorer
from . import host
from .detections import remember_stamp
from .files import (
    BUILTIN,
    explain_missing,
    find_file,
    find_gpen,
    list_gpen_files,
    list_restorer_files,
    make_detector,
    stamp_detector,
    stamp_file,
    stamp_folders,
)
from .hosted import HostedGPEN
from .messages import speaking_to_comfyui
from .ranges import in_range
from .sockets import CATEGORY, GPENDetector, GPENModel
from .unhosted import UnhostedRunner

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
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_gpen_files(),
                    default=BUILTIN,
                    tooltip="The model file. Put GPEN-BFR-256/512/1024/2048 files (.pth, .pt, "
                    ".safetensors or .onnx) into models/gpen and press R; no restart is needed.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *DTYPES],
                    default=AUTO,
                    advanced=True,
                    tooltip="Number format of the network. auto: fp16 if the device is fast at it, "
                    "else bf16 or fp32; fp32 on a CPU.",
                ),
                io.Combo.Input(
                    "engine",
                    options=[AUTO, *ENGINES],
                    default=AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="What runs an .onnx file. gpen: this pack's network. onnxruntime: ONNX "
                    "Runtime, which is slower and keeps the file's own number format. auto: gpen "
                    "where it can read the file.",
                ),
            ],
            outputs=[
                GPENModel.Output("model", tooltip="For Restore Faces and Restore Image. Detect "
                                 "Faces takes the crop size from it."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        # This replaces the host's check, which says only "value not in list". The value of a linked
        # input is not known yet and arrives as None.
        if file in (None, BUILTIN) or host.find_model_file(host.GPEN_FOLDERS, file):
            return True
        return explain_missing(host.GPEN_FOLDERS, file)

    @classmethod
    def fingerprint_inputs(
        cls, file: str | None, dtype: str | None, engine: str | None = AUTO
    ) -> str:
        if file is None:  # linked: it may become any file
            return f"{stamp_folders(host.GPEN_FOLDERS)} {dtype} {engine}"
        path = find_gpen(file)
        return f"{path if file == BUILTIN else stamp_file(path)} {dtype} {engine}"

    @classmethod
    def execute(cls, file: str, dtype: str, engine: str = AUTO) -> io.NodeOutput:
        chosen = _choose_dtype(dtype)
        # Weights made in inference mode could not be used outside of it.
        with speaking_to_comfyui(), torch.inference_mode(mode=False):
            found = choose_engine(find_gpen(file), engine, read_checkpoint)
            if isinstance(found, SlowGraph):
                say = partial(host.warn, cls.hidden.unique_id)
                return io.NodeOutput(UnhostedRunner(found.open(host.get_device(), say)))
            # On the CPU: the host decides when the weights move to the device.
            network = found.build().set_dtype(chosen)
        return io.NodeOutput(HostedGPEN(network))


class LoadFaceRestorer(io.ComfyNode):
    """Load a GFPGAN, CodeFormer, RestoreFormer or GPEN."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadGPENFaceRestorer",
            display_name="Load Face Restorer (GPEN)",
            category=CATEGORY,
            description="Loads any face restorer in models/facerestore_models or models/gpen: "
            "GFPGAN, CodeFormer, RestoreFormer or GPEN. All of them work in Restore Faces and "
            "Restore Image.",
            search_aliases=["gfpgan", "codeformer", "restoreformer", "face restore model",
                            "load face restore model"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_restorer_files(),
                    default=BUILTIN,
                    tooltip="The model file, such as GFPGANv1.4.pth, codeformer.pth or "
                    "RestoreFormer.pth in models/facerestore_models. Press R to see new files.",
                ),
                io.Float.Input(
                    "fidelity",
                    default=FIDELITY, min=0.0, max=1.0, step=0.01,
                    tooltip="For CodeFormer only. 0: the cleanest face. 1: closest to the photo. "
                    "Other models ignore it.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *DTYPES],
                    default=AUTO,
                    advanced=True,
                    tooltip="Number format of the network. auto: as in Load GPEN for a GPEN, fp32 "
                    "for others. Only GPEN works in fp16.",
                ),
            ],
            outputs=[
                GPENModel.Output("model", tooltip="For Restore Faces and Restore Image. Detect "
                                 "Faces takes crop size and template from it."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        return LoadGPEN.validate_inputs(file)

    @classmethod
    def fingerprint_inputs(cls, file: str | None, fidelity: float | None, dtype: str | None) -> str:
        return f"{LoadGPEN.fingerprint_inputs(file, dtype)} {fidelity}"

    @classmethod
    @in_range
    def execute(cls, file: str, fidelity: float, dtype: str) -> io.NodeOutput:
        with speaking_to_comfyui():
            network = load_face_restorer(find_gpen(file), device="cpu", dtype="fp32", engine="gpen")
        if isinstance(network, FaceRestorer):
            if network.fidelity is not None:
                network.fidelity = fidelity
            if dtype != AUTO:
                network.set_dtype(resolve_dtype(dtype, host.get_device()))
            return io.NodeOutput(HostedGPEN(network))
        return io.NodeOutput(HostedGPEN(network.set_dtype(_choose_dtype(dtype))))


def _choose_dtype(dtype: str) -> torch.dtype:
    """Return the dtype of that name for a GPEN on the host's device."""
    device = host.get_device()
    return resolve_dtype(host.choose_dtype(device) if dtype == AUTO else dtype, device)


class LoadFaceDetector(io.ComfyNode):
    """Choose the face detector and, if it needs one, its file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadGPENFaceDetector",
            display_name="Load Face Detector (GPEN)",
            category=CATEGORY,
            description="Chooses the face detector. Without this node, it is chosen "
            "automatically.",
            search_aliases=["face detector", "retinaface", "yunet", "mtcnn", "face detection"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=[AUTO, *DETECTORS],
                    default=AUTO,
                    tooltip="mtcnn needs no file, the others do. retinaface_resnet50 is the most "
                    "accurate, by its published results. auto: the detector of the chosen file "
                    "or, without a file, the best one available.",
                ),
                io.Combo.Input(
                    "file",
                    options=[NO_FILE, *host.list_model_files(host.DETECTOR_FOLDERS)],
                    default=NO_FILE,
                    tooltip="The detector's weights in models/facedetection or models/detection: "
                    "detection_Resnet50_Final.pth, detection_mobilenet0.25_Final.pth or "
                    "face_detection_yunet_2023mar.onnx. none: search for these names.",
                ),
            ],
            outputs=[
                GPENDetector.Output("detector", tooltip="For Detect Faces and Restore Image."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        if file in (None, NO_FILE) or host.find_model_file(host.DETECTOR_FOLDERS, file):
            return True
        return explain_missing(host.DETECTOR_FOLDERS, file)

    @classmethod
    def fingerprint_inputs(cls, detector: str | None, file: str | None) -> str:
        if file is None:  # linked: it may become any file
            return f"{stamp_detector(detector or AUTO)} {stamp_folders(host.DETECTOR_FOLDERS)}"
        if file == NO_FILE:
            return stamp_detector(detector or AUTO)
        path = host.find_model_file(host.DETECTOR_FOLDERS, file)
        return f"{detector} {stamp_file(path) if path else ''}"

    @classmethod
    def execute(cls, detector: str, file: str) -> io.NodeOutput:
        path = None if file == NO_FILE else find_file(host.DETECTOR_FOLDERS, file)
        made = make_detector(detector, path)
        remember_stamp(made, cls.fingerprint_inputs(detector, file))
        return io.NodeOutput(made)
