"""The only module that touches ComfyUI: its model folders, memory, progress and messages."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management as mm
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch

if TYPE_CHECKING:
    from ..gpen_core.arch import GPEN, GPENConfig
    from ..gpen_core.progress import OnProgress

ROOM_FOR_FACES = 1 << 30
"""Bytes that cutting and pasting take at most for the faces of a photograph of 20 megapixels."""

GPEN_FOLDERS = ("gpen", "facerestore_models")
DETECTOR_FOLDERS = ("facedetection", "detection")

log = logging.getLogger("gpen")


def add_model_folders() -> None:
    """Make our folders known. Paths that others gave for the same keys stay, and stay first."""
    for key in (*GPEN_FOLDERS, *DETECTOR_FOLDERS):
        folder_paths.add_model_folder_path(key, str(Path(folder_paths.models_dir) / key))
        paths, extensions = folder_paths.folder_names_and_paths[key]
        wanted = set(extensions or folder_paths.supported_pt_extensions)
        if key in DETECTOR_FOLDERS:
            wanted.add(".onnx")  # YuNet's
        # A new set: the host has one for several keys.
        folder_paths.folder_names_and_paths[key] = (paths, wanted)


def model_files(folders: tuple[str, ...]) -> list[str]:
    """Names of the files in these model folders, each once, in the order of the folders."""
    names = [name for key in folders for name in folder_paths.get_filename_list(key)]
    return list(dict.fromkeys(names))


def model_path(folders: tuple[str, ...], name: str) -> Path | None:
    """Where the file of that name lies, in the first folder that has it."""
    for key in folders:
        path = folder_paths.get_full_path(key, name)
        if path is not None:
            return Path(path)
    return None


def model_folders(folders: tuple[str, ...]) -> list[Path]:
    """Where files for these keys are looked for, best first."""
    return [Path(path) for key in folders for path in folder_paths.get_folder_paths(key)]


def device() -> torch.device:
    """The device that the host computes on."""
    return mm.get_torch_device()


def device_for_faces() -> torch.device:
    """The device that the host computes on, other models moved out as cutting faces needs it."""
    device = mm.get_torch_device()
    if device != mm.intermediate_device():
        mm.free_memory(ROOM_FOR_FACES, device)
    return device


def best_dtype(device: torch.device) -> str:
    """The dtype that "auto" means on this host, which may have been told to avoid fp16."""
    if mm.should_use_fp16(device):
        return "fp16"
    return "bf16" if mm.should_use_bf16(device) else "fp32"


def keep(tensor: torch.Tensor) -> torch.Tensor:
    """A result where and in the dtype in which the host keeps results between nodes."""
    return tensor.to(mm.intermediate_device(), mm.intermediate_dtype())


def free_memory() -> int:
    """Bytes free where results are kept."""
    return int(mm.get_free_memory(mm.intermediate_device()))


def is_oom(error: Exception) -> bool:
    """Whether an error says that the device's memory ran out."""
    try:
        mm.raise_non_oom(error)
    except Exception as other:
        if other is not error:
            raise
        return False
    return True


def progress(total: int) -> OnProgress:
    """An `on_progress(done, total)` that moves the node's bar; raises when the user cancels."""
    bar = comfy.utils.ProgressBar(total)

    def on_progress(done: int, total: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return on_progress


def warn(node_id: str | None, message: str) -> None:
    """Say something on the node and in the log, without stopping the run."""
    log.warning("%s", message)
    from server import PromptServer

    if node_id is not None and getattr(PromptServer, "instance", None) is not None:
        PromptServer.instance.send_progress_text(message, node_id)


class GPENNetwork(torch.nn.Module):
    """Holds the network where the patcher may set `device`, which a GPEN computes."""

    def __init__(self, network: GPEN) -> None:
        super().__init__()
        self.network = network


class WholePatcher(comfy.model_patcher.ModelPatcher):
    """Unloads a network as a whole, never a part of it.

    The host would move some parameters away and count them as freed, but what the network has laid
    out for the device from them stays until all are moved.
    """

    def partially_unload(self, *_: object, **__: object) -> int:
        """Free no bytes; the host then unloads all."""
        return 0


def _same(one: torch.device, other: torch.device) -> bool:
    """Whether two names are of one device: "mps" and "mps:0" are, which compare unequal."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)


class HostedGPEN:
    """What GPEN_MODEL carries: a network that the host loads, offloads and frees.

    Attributes:
        config: the network's sizes.
        patcher: the host's handle; its cache looks for this name.
    """

    def __init__(self, network: GPEN) -> None:
        self.config: GPENConfig = network.config
        self.network = network
        self.patcher = WholePatcher(
            GPENNetwork(network),
            load_device=mm.get_torch_device(),
            offload_device=mm.unet_offload_device(),
        )

    @property
    def device(self) -> torch.device:
        """Where the host lets the network compute."""
        return self.patcher.load_device

    def load(self, faces: int) -> None:
        """Put the weights on the device and make room for a forward pass of so many faces."""
        from ..gpen_core.restore import forward_memory

        memory = forward_memory(self.config, faces, self.network.dtype)
        mm.load_models_gpu([self.patcher], memory_required=memory, force_full_load=True)
        # With --novram the host leaves weights on the CPU whatever it is asked.
        if any(not _same(p.device, self.device) for p in self.network.parameters()):
            self.network.to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network's convolutions compute in."""
        return self.network.dtype

    @property
    def sharpen(self) -> float:
        """The amount of sharpening that the checkpoint asks for."""
        return self.network.sharpen

    def is_oom(self, error: Exception) -> bool:
        """Ask the host whether an error says that the device's memory ran out."""
        return is_oom(error)

    def __call__(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Run the network on faces [N, 3, in, in] in [-1, 1], on any device.

        Loading before every pass costs nothing while it is loaded, and the host may have unloaded
        it for another model since the last.
        """
        self.load(len(faces))
        return self.network(faces.to(self.device), noise_seed=noise_seed)
